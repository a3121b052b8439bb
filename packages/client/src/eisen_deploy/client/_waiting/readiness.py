"""Waits until a model answers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TypeVar

from eisen_deploy.client._call.retries import Retries
from eisen_deploy.client._errors import (
    Cancelled,
    ConnectionFailed,
    DeadlineExceeded,
    EisenClientError,
    NotReady,
    ServerBusy,
    UnknownOutcome,
    WorkerDied,
)

from .deadline import CancelRequested, Deadline, Expired

T = TypeVar("T")

#: TorchServe loses requests that wait while a worker dies, so no single one is waited for longer.
PROBE_SECONDS = 10.0
PAUSES = Retries(first_delay=0.25, max_delay=2.0)
#: Of a proxy before a server that does not run yet.
_PASSING_STATUSES = (502, 503, 504)


def wait_ready(ask: Callable[[Deadline], T], deadline: Deadline, pauses: Retries = PAUSES) -> T:
    """Return what the model answers, once it does.

    :param ask: asks it once.
    :param pauses: how long to wait between two times.
    :raises NotReady: if it did not answer by then; it names the last obstacle.
    :raises EisenClientError: at once, if waiting cannot help.
    """
    obstacles: list[EisenClientError] = []
    failure: EisenClientError
    try:
        return _ask_again(ask, deadline, pauses, obstacles)
    except Expired:
        failure = _not_ready(deadline, obstacles)
    except CancelRequested:
        failure = Cancelled("cancelled while waiting for the model", executed=False, retry=True)
    raise failure from (obstacles[0] if obstacles else None)


def _ask_again(
    ask: Callable[[Deadline], T],
    deadline: Deadline,
    pauses: Retries,
    obstacles: list[EisenClientError],
) -> T:
    for number in count(1):
        deadline.check()
        try:
            return ask(deadline.within(PROBE_SECONDS))
        except EisenClientError as error:
            if not _may_pass(error):
                raise
            obstacles[:] = [error]
        deadline.wait(pauses.delay(number))
    raise AssertionError  # count() does not end


def _may_pass(error: EisenClientError) -> bool:
    if isinstance(error, ConnectionFailed):
        return error.retry
    passing = (DeadlineExceeded, ServerBusy, UnknownOutcome, WorkerDied)
    return isinstance(error, passing) or error.status in _PASSING_STATUSES


def _not_ready(deadline: Deadline, obstacles: list[EisenClientError]) -> NotReady:
    message = f"the model did not answer within {deadline.seconds:g} s"
    if not obstacles:
        return NotReady(message)
    last = obstacles[0]
    return NotReady(
        f"{message}; the last obstacle was {type(last).__name__}: {last.args[0]}",
        **{name: getattr(last, name) for name in ("status", "type", "server_message", "stage")},
    )
