"""How long one sentence takes from a cold shell, as a ratio to importing scikit-learn's part alone.

The two commands run in turn; the median of the pairs' ratios is what to quote.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

SENTENCE = "Police freed 12 workers held in debt bondage at a brick kiln near Osh."
OURS = [sys.executable, "-m", "newswatch", "classify", SENTENCE]
BASELINE = [sys.executable, "-c", "import sklearn.feature_extraction.text, sklearn.linear_model, joblib"]
PAIRS = 9


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    seconds(OURS), seconds(BASELINE)  # warm the disk cache
    pairs = [(seconds(OURS), seconds(BASELINE)) for _ in range(PAIRS)]
    ratios = sorted(ours / baseline for ours, baseline in pairs)
    print(f"classify {statistics.median(ours for ours, _ in pairs):.2f} s")
    print(f"baseline {statistics.median(baseline for _, baseline in pairs):.2f} s")
    print(
        f"ratio {statistics.median(ratios):.2f} (from {ratios[0]:.2f} to {ratios[-1]:.2f}); the limit set is 2.2, the goal 1.5"
    )


if __name__ == "__main__":
    main()
