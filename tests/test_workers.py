"""newswatch.workers: every item gets its own result or its own reason, whatever the others do."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import deque
from pathlib import Path

import pytest

from newswatch.exceptions import ExtractError, InputError
from newswatch.workers import ItemError, Workers

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can hold a process's memory")
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")

loaded: list[str] = []


def load():
    loaded.append("model")


def fail_to_load():
    raise RuntimeError("no model here")


def act(item):
    """What an item does in a worker, by its name."""
    match item:
        case "sleep":
            time.sleep(60)
        case "spin in C":  # never looks at signals, never gives up the interpreter lock
            deque(itertools.repeat(None), maxlen=0)
        case "swallow Exception":
            while True:
                with contextlib.suppress(Exception):
                    time.sleep(0.01)
        case "swallow everything":
            while True:
                with contextlib.suppress(BaseException):
                    time.sleep(0.01)
        case "swell at once":
            return len(bytearray(4_000_000_000))
        case "swell bit by bit":
            kept = []
            while True:
                kept.append(bytearray(1_000_000))
        case "exit":
            os._exit(3)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "sys.exit":
            sys.exit(2)
        case "raise":
            raise KeyError("no such thing")
        case "recurse":
            return act_again(item)
        case "newswatch error":
            raise ExtractError("a wall", subject="https://example.org/", reason="bot_wall")
        case "newswatch error without reason":
            raise InputError("no text")
        case "half an import":
            loaded.append("half")
            time.sleep(60)
        case "half an import for want of memory":
            loaded.append("half")
            return len(bytearray(4_000_000_000))
        case "imported":
            return "broken" if "half" in loaded else "whole"
        case "cannot be sent back":
            return (number for number in (1, 2))
        case "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
            return "still here"
        case "pid":
            return os.getpid()
        case "loaded":
            return list(loaded)
    return f"{item} done"


def act_again(item):
    return act_again(item)


def write_down(item):
    path, line = item
    with open(path, "a") as file:
        file.write(line + "\n")
    return act(line)


@pytest.fixture(scope="module")
def workers():
    workers = Workers(2, seconds=1, memory_mb=200, prepare=load)
    yield workers
    workers.close()


def gone(pid: int, within_s: float = 15.0) -> bool:
    for _ in range(int(within_s * 20)):
        try:
            os.kill(pid, 0)
            state = (
                Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] if sys.platform == "linux" else ""
            )
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def nap(item):
    time.sleep(item / 1000)
    return item


def test_results_are_in_the_order_of_the_items(workers):
    items = [40, 0, 30, 1, 20, 2, 10, 3, 50, 4, 5, 6]
    assert workers.run(nap, items) == items


def test_no_items_give_no_results(workers):
    assert workers.run(act, []) == []


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("sleep", "too_slow"),
        ("spin in C", "too_slow"),
        ("swallow Exception", "too_slow"),
        ("swallow everything", "too_slow"),
        ("exit", "crashed"),
        pytest.param("killed", "crashed", marks=posix),
        ("sys.exit", "internal"),
        ("raise", "internal"),
        ("recurse", "internal"),
        ("cannot be sent back", "internal"),
    ],
)
def test_only_the_bad_item_of_a_batch_fails_and_the_pool_goes_on(workers, bad, reason):
    first, second, failed, *rest = workers.run(act, ["a", "b", bad, "c", "d"])
    assert isinstance(failed, ItemError)
    assert failed.reason == reason
    assert failed.detail
    assert not failed.expected
    assert [first, second, *rest] == ["a done", "b done", "c done", "d done"]
    assert workers.run(act, ["next"]) == ["next done"]


@linux
@pytest.mark.parametrize("bad", ["swell at once", "swell bit by bit"])
def test_an_item_that_swells_is_stopped_before_its_worker_bursts(workers, bad):
    roomy = Workers(2, seconds=30, memory_mb=200, prepare=load)  # in the same processes
    first, swollen, last = roomy.run(act, ["a", bad, "b"])
    assert swollen.reason == "too_much_memory"
    assert (first, last) == ("a done", "b done")
    assert workers.run(act, ["next"]) == ["next done"]


def test_several_bad_items_each_get_their_own_reason(workers):
    results = workers.run(act, ["exit", "a", "spin in C", "b", "exit", "raise", "c"])
    assert [one.reason if isinstance(one, ItemError) else one for one in results] == [
        "crashed",
        "a done",
        "too_slow",
        "b done",
        "crashed",
        "internal",
        "c done",
    ]


def test_what_was_done_before_a_worker_had_to_be_killed_is_not_done_again(workers, tmp_path):
    lines = tmp_path / "lines"
    workers.run(write_down, [(lines, "a"), (lines, "spin in C"), (lines, "b")])
    assert lines.read_text().split("\n").count("a") == 1


def test_an_item_that_cannot_be_sent_fails_alone(workers):
    first, failed, last = workers.run(act, ["a", threading.Lock(), "b"])
    assert (first, last) == ("a done", "b done")
    assert failed.reason == "internal"


def test_an_error_of_newswatch_is_expected_and_keeps_its_reason(workers):
    with_reason, without = workers.run(act, ["newswatch error", "newswatch error without reason"])
    assert with_reason == ItemError("bot_wall", "a wall", expected=True)
    assert without == ItemError("InputError", "no text", expected=True)


@posix
def test_an_interrupt_from_the_keyboard_is_left_to_the_parent(workers):
    assert workers.run(act, ["interrupt"]) == ["still here"]


def test_a_single_worker_is_a_process_of_its_own():
    before = signal.getsignal(signal.SIGINT)
    workers = Workers(1, seconds=5, memory_mb=200)
    try:
        (pid,) = workers.run(act, ["pid"])
    finally:
        workers.close()
    assert pid != os.getpid()
    assert signal.getsignal(signal.SIGINT) is before


def test_threads_may_share_the_workers(workers):
    found: dict[int, list[int]] = {}

    def work(number: int) -> None:
        items = [number * 10 + step for step in range(10)]
        found[number] = (
            Workers(2, seconds=1, memory_mb=200, prepare=load).run(nap, items)
            if number % 2
            else workers.run(nap, items)
        )

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [number * 10 + step for step in range(10)] for number in range(4)}


def test_a_worker_gets_ready_before_its_first_item():
    workers = Workers(1, seconds=5, memory_mb=200, prepare=load)
    try:
        assert workers.run(act, ["loaded", "loaded"]) == [["model"], ["model"]]
    finally:
        workers.close()


def test_without_preparation_the_first_item_has_time_to_import_and_load():
    workers = Workers(1, seconds=0.05, memory_mb=200)
    try:
        assert workers.run(nap, [300]) == [300]
        assert [one.reason for one in workers.run(nap, [300])] == ["too_slow"]
    finally:
        workers.close()


@pytest.mark.parametrize("bad", ["half an import", "half an import for want of memory"])
def test_a_worker_stopped_amid_an_import_is_replaced(workers, bad):
    # What is half imported stays so in its process: every later item would fail there.
    stopped, *rest = workers.run(act, [bad, *["imported"] * 9])
    assert stopped.reason in ("too_slow", "too_much_memory")
    assert rest == ["whole"] * 9
    assert workers.run(act, ["imported"] * 4) == ["whole"] * 4


def test_a_worker_that_cannot_get_ready_works_all_the_same():
    workers = Workers(1, seconds=5, memory_mb=200, prepare=fail_to_load)
    try:
        assert workers.run(act, ["a"]) == ["a done"]
    finally:
        workers.close()


@posix
def test_closing_ends_the_processes_and_work_can_begin_anew():
    workers = Workers(1, seconds=5, memory_mb=199)
    (pid,) = workers.run(act, ["pid"])
    workers.close()
    assert gone(pid)
    workers.close()  # twice does no harm
    (another,) = workers.run(act, ["pid"])
    workers.close()
    assert another != pid


def test_closing_amid_a_batch_ends_it(tmp_path):
    workers = Workers(1, seconds=60, memory_mb=200)
    lines = tmp_path / "lines"
    results: list[object] = []
    batch = [(lines, "sleep"), (lines, "a")]
    thread = threading.Thread(target=lambda: results.extend(workers.run(write_down, batch)))
    thread.start()
    while not lines.exists():
        time.sleep(0.01)
    workers.close()
    thread.join(timeout=30)
    assert not thread.is_alive()
    assert [one.reason for one in results] == ["crashed", "crashed"]
    assert lines.read_text() == "sleep\n"


@posix
def test_workers_do_not_outlive_a_killed_parent(tmp_path):
    script = """
        import os, signal, sys, time
        from pathlib import Path
        from newswatch.workers import Workers
        folder = Path(sys.argv[1])
        workers = Workers(2, seconds=5, memory_mb=200, prepare=lambda: (folder / str(os.getpid())).touch())
        workers.run(lambda item: item, ["only one of the two gets an item"])
        while len(list(folder.iterdir())) < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)], stderr=subprocess.DEVNULL, timeout=60
    )
    assert ended.returncode == -signal.SIGKILL
    pids = [int(path.name) for path in tmp_path.iterdir()]
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)


# --- without worker processes ---


def test_no_workers_work_in_this_process():
    assert Workers(0, seconds=5, memory_mb=200).run(act, ["pid", "a"]) == [os.getpid(), "a done"]


def test_without_workers_a_failure_is_a_value_too():
    raised, quit_, known, fine = Workers(0, seconds=5, memory_mb=200).run(
        act, ["raise", "sys.exit", "newswatch error", "a"]
    )
    assert (raised.reason, quit_.reason, fine) == ("internal", "internal", "a done")
    assert known == ItemError("bot_wall", "a wall", expected=True)


@posix
def test_without_workers_a_slow_item_is_stopped_by_the_timer():
    before = signal.getsignal(signal.SIGALRM)
    slow, fine = Workers(0, seconds=0.2, memory_mb=200).run(act, ["swallow Exception", "a"])
    assert (slow.reason, fine) == ("too_slow", "a done")
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_without_workers_another_thread_works_without_the_timer():
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.extend(Workers(0, seconds=0.01, memory_mb=200).run(nap, [50])))
    thread.start()
    thread.join()
    assert results == [50]


def test_without_workers_this_process_gets_ready_once():
    ready: list[str] = []
    workers = Workers(0, seconds=5, memory_mb=200, prepare=lambda: ready.append("model"))
    assert ready == []
    assert [workers.run(act, ["a"]), workers.run(act, ["b"])] == [["a done"], ["b done"]]
    assert ready == ["model"]


def test_closing_without_workers_does_nothing():
    workers = Workers(0, seconds=5, memory_mb=200)
    workers.close()
    assert workers.run(act, ["a"]) == ["a done"]


def test_an_interrupt_is_no_failure_of_an_item():
    def interrupted(item):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Workers(0, seconds=5, memory_mb=200).run(interrupted, ["a"])
