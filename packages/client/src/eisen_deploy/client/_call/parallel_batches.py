"""Many batches through one client, in order, no more at a time than is asked for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import NoReturn, TypeVar

from eisen_deploy.client._waiting.deadline import POLL_SECONDS, Cancellation
from eisen_deploy.client._waiting.threads import Outcome, start

B = TypeVar("B")
T = TypeVar("T")


def run_in_order(
    call: Callable[[B], T], batches: Iterator[B], workers: int, stop: Cancellation
) -> Iterator[T]:
    """Yield the results of a call with each batch, in the order of the batches.

    Batches are taken on the caller's thread, ``workers + 1`` ahead of the results that it has:
    so ``workers`` calls are under way while it works on a result.

    :param stop: is cancelled at the end, whatever the reason; the calls have to end with it.
    """
    tasks = _start(call, batches, threading.Semaphore(workers))
    window: deque[Outcome[T]] = deque()
    try:
        while True:
            window.extend(islice(tasks, workers + 1 - len(window)))
            if not window:
                return
            _wait(window[0])
            yield window.popleft().take()
    finally:
        stop.cancel()
        for task in window:
            _wait(task)


def _start(
    call: Callable[[B], T], batches: Iterator[B], gate: threading.Semaphore
) -> Iterator[Outcome[T]]:
    while True:
        try:
            work: Callable[[], T] = partial(_run_one, call, next(batches), gate)
        except StopIteration:
            return
        except Exception as error:  # noqa: BLE001 - raised after the results before it
            work = partial(_fail, error)
            batches = iter(())
        task = Outcome(work, "eisen-client-batch")
        del work  # it holds the batch
        start(task)
        yield task


def _run_one(call: Callable[[B], T], batch: B, gate: threading.Semaphore) -> T:
    with gate:
        return call(batch)


def _fail(error: Exception) -> NoReturn:
    raise error


def _wait(task: Outcome[object]) -> None:
    while not task.wait(POLL_SECONDS):  # Windows delivers Ctrl+C only between waits
        pass
