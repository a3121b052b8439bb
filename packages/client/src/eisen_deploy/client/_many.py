"""Many batches through one client, in order, no more at a time than is asked for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from ._cancellation import Cancellation
from ._deadline import GLANCE, Outcome

T = TypeVar("T")


def run_in_order(
    call: Callable[[Any], T], batches: Iterator[Any], workers: int, stop: Cancellation
) -> Iterator[T]:
    """Yield the results of a call with each batch, in the order of the batches.

    Batches are taken on the caller's thread, ``workers + 1`` ahead of the results that it has:
    so ``workers`` calls are under way while it works on a result.

    :param stop: is cancelled at the end, whatever the reason; the calls shall end with it.
    """
    tasks = _start(call, batches, threading.Semaphore(workers))
    window: deque[_Task[T]] = deque()
    try:
        while True:
            window.extend(islice(tasks, workers + 1 - len(window)))
            if not window:
                return
            window[0].wait()
            yield window.popleft().take()
    finally:
        stop.cancel()
        for task in window:
            task.join()


def _start(
    call: Callable[[Any], T], batches: Iterator[Any], gate: threading.Semaphore
) -> Iterator[_Task[T]]:
    while True:
        try:
            work = partial(_run_one, call, next(batches), gate)
        except StopIteration:
            return
        except Exception as error:  # noqa: BLE001 - raised after the results before it
            work = partial(_fail, error)
            batches = iter(())
        task = _Task(work)
        del work  # it holds the batch
        task.start()
        yield task


def _run_one(call: Callable[[Any], T], batch: Any, gate: threading.Semaphore) -> T:
    with gate:
        return call(batch)


def _fail(error: Exception) -> Any:
    raise error


class _Task(Outcome[T]):
    """One call on a thread of its own."""

    def start(self) -> None:
        self._thread = threading.Thread(target=self.run, name="eisen-client-batch", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        while not self.done.wait(GLANCE):  # Windows delivers Ctrl+C only between waits
            pass
        self.join()

    def join(self) -> None:
        self._thread.join()
