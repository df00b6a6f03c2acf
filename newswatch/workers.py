"""Worker processes for work that may hang or swell. Owner of joblib's parallel half.

Each item has a time and a memory of its own. A timer inside the worker stops Python code; the parent stops, from
outside, what C code keeps busy, and gives the other items of that batch another go.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from newswatch.exceptions import NewswatchError

__all__ = ["ItemError", "Workers"]

# Room for a worker's first task, which imports the parsers and loads the model.
_START_S = 30.0
_GRACE_S = 2.0


@dataclass(frozen=True, slots=True)
class ItemError:
    """Why one item has no result.

    Args:
        reason: ``too_slow``, ``too_much_memory``, ``crashed``, or the reason of the error raised.
        detail: the cause in words.
        expected: whether it was an error of newswatch's own tree.
    """

    reason: str
    detail: str
    expected: bool = False


class _TooSlow(BaseException):
    """Raised by the timer. No ``Exception``, which libraries swallow."""


class Workers:
    """Runs a function over items in worker processes, within bounds.

    Args:
        count: how many processes; 0 works in this one, with the timer only where it is the main thread.
        seconds: longest time for one item.
        memory_mb: how far one item may swell a worker beyond its size when it started work (Linux).

    Example:
        >>> Workers(0, seconds=5, memory_mb=256).run(len, ["four"])
        [4]
    """

    def __init__(self, count: int, *, seconds: float, memory_mb: int) -> None:
        self._count = count
        self._seconds = seconds
        self._memory_mb = memory_mb
        self._warm = False
        self._lock = threading.Lock()

    def run(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        """Results in the order of the items; an `ItemError` where an item failed. Safe to call from any thread."""
        if not items:
            return []
        if self._count == 0:
            return [_bounded(function, item, self._seconds, 0) for item in items]
        with self._lock:
            results = self._parallel(function, items)
            if results is not None:
                return results
            # Something hung or died and took the batch with it: one by one, only the culprit fails.
            singly: list[Any] = []
            for item in items:
                single = self._parallel(function, [item])
                singly.append(single[0] if single else ItemError("crashed", "the worker hung or died on it"))
            return singly

    def _parallel(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any] | None:
        from joblib import Parallel, delayed
        from joblib.externals.loky.process_executor import BrokenProcessPool

        limit = self._seconds + _GRACE_S + (0.0 if self._warm else _START_S)
        call = delayed(_in_worker)
        try:
            pool = Parallel(n_jobs=self._count, backend="loky", batch_size=1, pre_dispatch="all", timeout=limit)
            results = list(pool(call(function, item, self._seconds, self._memory_mb) for item in items))
        except (TimeoutError, BrokenProcessPool):
            self._warm = False
            return None
        self._warm = True
        return results

    def close(self) -> None:
        """Stop the worker processes."""
        if self._count and "joblib.externals.loky" in sys.modules:
            from joblib.externals.loky import get_reusable_executor

            with contextlib.suppress(Exception):
                get_reusable_executor().shutdown(wait=True, kill_workers=True)
            self._warm = False


def _in_worker(function: Callable[[Any], Any], item: Any, seconds: float, memory_mb: int) -> Any:
    _settle()
    return _bounded(function, item, seconds, memory_mb)


_settled = False


def _settle() -> None:
    """Once in each worker: leave Ctrl-C to the parent, and do not outlive it."""
    global _settled
    if _settled:
        return
    _settled = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "getppid") and sys.platform != "win32":
        parent = os.getppid()

        def watch() -> None:
            while os.getppid() == parent:
                time.sleep(1)
            os._exit(1)

        threading.Thread(target=watch, daemon=True, name="newswatch-parent-watch").start()


def _bounded(function: Callable[[Any], Any], item: Any, seconds: float, memory_mb: int) -> Any:
    try:
        with _time_limit(seconds), _memory_limit(memory_mb):
            return function(item)
    except _TooSlow:
        return ItemError("too_slow", f"took more than {seconds:g} s")
    except MemoryError:
        return ItemError("too_much_memory", f"took more than {memory_mb} MB of memory")
    except NewswatchError as error:
        return ItemError(error.reason or type(error).__name__, str(error), expected=True)
    except Exception as error:  # noqa: BLE001 - a failure of this item only
        return ItemError("internal", f"{type(error).__name__}: {error}"[:500])


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: object) -> None:
        raise _TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _memory_limit(memory_mb: int) -> Iterator[None]:
    """Let the process's private memory grow by so much and no more (RLIMIT_DATA; Linux 4.7 and later)."""
    used = _data_bytes() if memory_mb else None
    if used is None:
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (used + memory_mb * 1_048_576, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _data_bytes() -> int | None:
    """Private writable memory of this process, ``None`` where the system does not tell."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("VmData:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None
