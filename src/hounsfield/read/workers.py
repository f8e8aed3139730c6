"""each: run a function over many files in worker processes, where a crash costs one file and not the run.

Decoders are C libraries that read files from strangers. What they may do to a process, they do to a worker.
"""

from __future__ import annotations

import ctypes
import itertools
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, TypeVar

from hounsfield.errors import HounsfieldError, ReadError, UsageError
from hounsfield.read.source import Source
from hounsfield.read.trouble import DAMAGED

Item = TypeVar("Item")
Result = TypeVar("Result")

PATIENCE = 300.0  # seconds; the largest honest file of this field decodes in less
_FEW = 8
_AHEAD = 3  # tasks in flight per worker: one runs, the others wait, so that no worker stands idle

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # <malloc.h>
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def each(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int | None = None,
    chunk: int = 1,
    seconds: float = PATIENCE,
) -> Iterator[tuple[int, Result | HounsfieldError]]:
    """Yield (index, result) for every item, in the order of the items, worked out in parallel.

    An item that fails yields a HounsfieldError in place of its result: the one that the function raised, or a ReadError
    for any other exception, for a result that cannot be sent back, and for a worker that died (a segmentation fault,
    the system's out-of-memory killer) or was killed because it took too long. After a death the items in flight are
    tried again one at a time, so that only the guilty one fails. Only a few items per worker are in flight, so memory
    does not grow with the list.

    Parameters
    ----------
    function:
        A function at the top level of a module (workers import it by name).
    workers:
        Number of processes; None means one per core at hand, fewer for a short list; 0 means in this process, without
        protection against crashes.
    chunk:
        Items per task, where an item takes less than about a millisecond.
    seconds:
        The longest time that one item may take. The kernel ends the worker then (SIGALRM, setitimer(2)), so that even a
        native decoder in an endless loop ends; without workers, and on Windows, there is no limit.

    Raises
    ------
    UsageError
        If the function cannot be sent to a worker, or no worker can start.
    """
    if workers is None:
        workers = default_workers() if len(items) >= _FEW else min(default_workers(), 1 + len(items) // 4)
    if workers == 0:
        return ((index, _guarded(function, item)) for index, item in enumerate(items))
    try:
        pickle.dumps(function)
    except Exception as error:
        raise UsageError(
            "the function cannot be sent to worker processes", fix="Define it at the top level of a module."
        ) from error
    return _stream(function, items, _Pool(max(1, min(workers, len(items))), seconds), max(1, chunk))


def _stream(
    function: Callable[[Item], Result], items: Sequence[Item], pool: _Pool, chunk: int
) -> Iterator[tuple[int, Result | HounsfieldError]]:
    waiting = iter([range(start, min(start + chunk, len(items))) for start in range(0, len(items), chunk)])
    flying: deque[tuple[range, Future[list[Any]]]] = deque()
    try:
        while True:
            for indices in itertools.islice(waiting, pool.workers * _AHEAD - len(flying)):
                flying.append((indices, pool.submit(function, [items[index] for index in indices])))
            if not flying:
                return
            indices, future = flying.popleft()
            try:
                results = future.result()
            except BrokenProcessPool:
                # All that is in flight is lost with the pool, and any of it may be the cause.
                suspects = [*indices, *(index for others, _ in flying for index in others)]
                flying.clear()
                pool.renew()
            except Exception:  # noqa: BLE001 — one item of the task, or its result, cannot be pickled
                suspects = list(indices)
            else:
                yield from zip(indices, results, strict=True)
                continue
            for index in suspects:
                yield index, pool.alone(function, items[index])
    finally:  # also when the consumer stops early or Control-C arrives
        pool.close()


class _Pool:
    """A pool of processes that is made anew when it breaks."""

    def __init__(self, workers: int, seconds: float) -> None:
        # forkserver starts faster than spawn, and like it inherits no threads or locks of a process that has many.
        methods = multiprocessing.get_all_start_methods()
        self._context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        self._started = self._context.Event()
        self.workers = workers
        self._seconds = seconds
        self._pool = self._make(workers)

    def submit(self, function: Callable[[Item], Result], batch: list[Item]) -> Future[list[Any]]:
        try:
            return self._pool.submit(_run, function, batch, self._seconds)
        except BrokenProcessPool as error:  # broke since the last result was fetched: the same as a lost result
            lost: Future[list[Any]] = Future()
            lost.set_exception(error)
            return lost

    def alone(self, function: Callable[[Item], Result], item: Item) -> Result | HounsfieldError:
        """Run one suspect while nothing else runs, and leave a healthy pool behind."""
        submitted = time.monotonic()
        try:
            return self._pool.submit(_run, function, [item], self._seconds).result()[0]
        except BrokenProcessPool:
            slow = time.monotonic() - submitted >= self._seconds
            self.renew()
            if slow:
                return ReadError(
                    f"the file took longer than {self._seconds:g} s and was given up", where=_where(item), fix=DAMAGED
                )
            return ReadError(
                "the decoder crashed on this file", where=_where(item), fix="Leave it out, or export it uncompressed."
            )
        except Exception as error:  # noqa: BLE001 — the item or its result cannot be pickled
            return _unexpected(error, item)

    def renew(self) -> None:
        """Replace a broken pool; raise UsageError where no worker ever started, for none ever would."""
        if not self._started.is_set():
            raise UsageError(
                "the worker processes cannot start",
                fix="In a script, put the call under if __name__ == '__main__': (workers import the script), "
                "or use workers=0.",
            )
        self._pool.shutdown(wait=True)
        self._pool = self._make(self.workers)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _make(self, workers: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            workers, mp_context=self._context, initializer=_start_worker, initargs=(self._started,)
        )


def _run(function: Callable[[Item], Result], batch: list[Item], seconds: float) -> list[Result | HounsfieldError]:
    results = []
    for item in batch:
        _alarm(seconds)
        results.append(_guarded(function, item))
    _alarm(0)
    return results


def _alarm(seconds: float) -> None:
    """Let the kernel end this process after so many seconds; 0 calls it off. Python code could not: the lock may be held."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _guarded(function: Callable[[Item], Result], item: Item) -> Result | HounsfieldError:
    try:
        return function(item)
    except HounsfieldError as error:
        return error
    except Exception as error:  # noqa: BLE001 — one bad file must not end the run
        return _unexpected(error, item)


def _unexpected(error: Exception, item: object) -> ReadError:
    if isinstance(error, MemoryError):
        return ReadError("the image does not fit into memory", where=_where(item), fix="Use fewer workers.")
    # Only the kind of error: its text may quote a header.
    return ReadError(f"an unexpected error ({type(error).__name__})", where=_where(item), fix="Please report it.")


def _where(item: object) -> object:
    return item if isinstance(item, (Path, Source, str)) else None


def _start_worker(started: Any) -> None:
    """Set up a worker: one thread per library, Control-C left to the parent, and no life after the parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    for name in _THREAD_VARIABLES:
        os.environ[name] = "1"  # for libraries loaded from here on
    try:
        from threadpoolctl import threadpool_limits

        threadpool_limits(1)  # for those that are loaded already
    except ImportError:
        pass
    _keep_memory()
    threading.Thread(target=_die_with_parent, daemon=True).start()
    started.set()


def _keep_memory() -> None:
    """Let the C library keep freed memory for the next picture, up to 128 MiB, and not hand it back each time.

    Getting the same pages again from the kernel, one fault for each, takes a third of an uncompressed slice's time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:  # mallopt(3) of glibc; other C libraries have none
        mallopt(_M_TRIM_THRESHOLD, 128 << 20)
        mallopt(_M_MMAP_THRESHOLD, 64 << 20)


def _die_with_parent() -> None:
    # A parent that is killed cannot tell its workers to stop; they would wait for work for ever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def default_workers() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
