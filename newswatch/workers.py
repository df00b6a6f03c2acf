"""Worker processes for work that may hang or swell. Owner of joblib's parallel half.

Each item has a time and a memory of its own. A timer inside the worker stops Python code; the parent stops, from
outside, what C code keeps busy. Either way the worker is replaced, and the other items of that batch have another go.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, wait
from dataclasses import dataclass
from typing import Any

from newswatch.exceptions import NewswatchError

__all__ = ["ItemError", "Workers"]

# Room for a worker to start and prepare.
_START_S = 30.0
_START_MB = 512
_GRACE_S = 2.0
_IDLE_S = 300


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


class _Again:
    """In place of a result: the worker had been stopped amid an item, perhaps amid an import, and works no more."""


class _Pool:
    """The worker processes that all `Workers` of one kind share, so that a new one need not start them again."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._executor: Any = None

    def executor(self, count: int, prepare: Callable[[], object] | None) -> Any:
        """The running executor. loky's own one: ``Parallel`` works in this process where one worker is asked for."""
        if self._executor is None:
            from joblib.externals.loky import ProcessPoolExecutor

            single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
            self._executor = ProcessPoolExecutor(
                count, timeout=_IDLE_S, initializer=_settle, initargs=(os.getpid(), prepare), env=single
            )
        return self._executor

    def stop(self) -> None:
        """End the processes, whatever they are doing."""
        executor, self._executor = self._executor, None
        if executor is not None:
            with contextlib.suppress(Exception):
                executor.shutdown(wait=True, kill_workers=True)


# By process id too: a forked child must not use its parent's.
_pools: dict[tuple[object, ...], _Pool] = {}


class Workers:
    """Runs a function over items in worker processes, within bounds.

    Args:
        count: how many processes; 0 works in this one, with the timer only where it is the main thread.
        seconds: longest time for one item.
        memory_mb: how far one item may swell a worker beyond its size when it started work (Linux).
        prepare: run once in each worker ahead of all items and outside their bounds, to import and load what they need.
            Without it, the first item of each function and worker has more time and memory for that, and what hangs
            in C code is stopped so much later.

    Example:
        >>> Workers(0, seconds=5, memory_mb=256).run(len, ["four"])
        [4]
    """

    def __init__(
        self, count: int, *, seconds: float, memory_mb: int, prepare: Callable[[], object] | None = None
    ) -> None:
        self._count = count
        self._seconds = seconds
        self._memory_mb = memory_mb
        self._prepare = prepare
        self._prepared = False
        self._closed = False

    def run(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        """Results in the order of the items; an `ItemError` where an item failed. Safe to call from any thread."""
        if not items:
            return []
        if self._count == 0:
            if self._prepare is not None and not self._prepared:
                self._prepared = True
                with contextlib.suppress(Exception):
                    self._prepare()
            return [_bounded(function, item, self._seconds, 0) for item in items]
        pool = self._pool()
        results: dict[int, Any] = {}
        with pool.lock:
            self._closed = False
            singly = False
            while todo := [index for index in range(len(items)) if index not in results]:
                # After a worker died, one by one until it is known on which item.
                batch = todo[:1] if singly else todo
                died = self._work(pool, function, items, batch, results)
                if self._closed:
                    stopped = ItemError("crashed", "the workers were stopped")
                    results.update({index: stopped for index in todo if index not in results})
                elif died and singly:
                    results[batch[0]] = ItemError("crashed", "the worker process died on it")
                    singly = False
                elif died:
                    singly = True
        return [results[index] for index in range(len(items))]

    def _work(
        self,
        pool: _Pool,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        batch: Sequence[int],
        results: dict[int, Any],
    ) -> bool:
        """Work on some items, and put into the results what came of them: whether a worker died on one of them."""
        from joblib.externals.loky.process_executor import BrokenProcessPool, ShutdownExecutorError

        futures: dict[int, Future[Any]] = {}
        current = batch[0]
        limit = self._seconds + _GRACE_S + (0.0 if self._prepare else _START_S)
        try:
            executor = pool.executor(self._count, self._prepare)
            # Starting a process and its imports count for no item.
            wait([executor.submit(_ready, function)], timeout=_START_S)
            for index in batch:
                futures[index] = executor.submit(_in_worker, function, items[index], self._seconds, self._memory_mb)
            for current, future in futures.items():
                try:
                    # All before it are done, so it is being worked on.
                    result = future.result(limit)
                    if not isinstance(result, _Again):
                        results[current] = result
                except (TimeoutError, CancelledError, BrokenProcessPool, ShutdownExecutorError):
                    raise
                except Exception as error:  # noqa: BLE001 - cannot be sent to or from a worker
                    results[current] = ItemError("internal", f"{type(error).__name__}: {error}"[:500])
            if any(_was_stopped(results.get(index)) for index in batch):
                pool.stop()
        except TimeoutError:
            _gather(futures, results)
            results[current] = ItemError("too_slow", f"took more than {self._seconds:g} s and had to be killed")
            pool.stop()
        except (CancelledError, BrokenProcessPool, ShutdownExecutorError):
            _gather(futures, results)
            pool.stop()
            return True
        except BaseException:
            pool.stop()
            raise
        return False

    def _pool(self) -> _Pool:
        return _pools.setdefault((os.getpid(), self._count, self._prepare), _Pool())

    def close(self) -> None:
        """Stop the worker processes, also amid a batch, whose open items then fail."""
        if self._count:
            self._closed = True
            self._pool().stop()


def _gather(futures: Mapping[int, Future[Any]], results: dict[int, Any]) -> None:
    """Keep what was done before its worker is stopped."""
    for index, future in futures.items():
        if future.done() and not future.cancelled() and future.exception() is None:
            result = future.result()
            if not isinstance(result, _Again):
                results[index] = result


def _was_stopped(result: object) -> bool:
    return isinstance(result, ItemError) and not result.expected and result.reason in ("too_slow", "too_much_memory")


def _ready(function: Callable[[Any], Any]) -> None:
    """Sent ahead of the items: to receive the function, the worker imports its module."""


# Of this worker: whether it was prepared, else the functions that had their first item; whether it was stopped amid one.
_prepared = False
_begun: set[tuple[str, str]] = set()
_spoilt = False


def _settle(parent: int, prepare: Callable[[], object] | None) -> None:
    """Once in each worker, before any work: leave Ctrl-C to the parent, do not outlive it, and get ready."""
    global _prepared
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":

        def watch() -> None:
            while os.getppid() == parent:
                time.sleep(1)
            os._exit(1)

        threading.Thread(target=watch, daemon=True, name="newswatch-parent-watch").start()
    if prepare is not None:
        with contextlib.suppress(Exception):  # the items will tell
            prepare()
        _prepared = True


def _in_worker(function: Callable[[Any], Any], item: Any, seconds: float, memory_mb: int) -> Any:
    global _spoilt
    if _spoilt:
        return _Again()
    name = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
    if not _prepared and name not in _begun:
        _begun.add(name)
        seconds, memory_mb = seconds + _START_S, memory_mb + _START_MB
    result = _bounded(function, item, seconds, memory_mb)
    _spoilt = _was_stopped(result)
    return result


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
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a failure of this item only
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
