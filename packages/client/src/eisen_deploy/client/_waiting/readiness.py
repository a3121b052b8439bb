"""Waits until a model answers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TypeVar

from eisen_deploy.client import _errors as errors
from eisen_deploy.client._call.retries import Retries

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
    last: errors.EisenClientError | None = None
    failure: errors.EisenClientError
    try:
        for number in count(1):
            deadline.check()
            try:
                return ask(deadline.within(PROBE_SECONDS))
            except errors.EisenClientError as error:
                if not _may_pass(error):
                    raise
                last = error
            deadline.wait(pauses.delay(number))
    except Expired:
        failure = _not_ready(deadline, last)
    except CancelRequested:
        message = "cancelled while waiting for the model"
        failure = errors.Cancelled(message, executed=False, retry=True)
    raise failure from last


def _may_pass(error: errors.EisenClientError) -> bool:
    if isinstance(error, errors.ConnectionFailed):
        return error.retry
    passing = (errors.DeadlineExceeded, errors.ServerBusy, errors.UnknownOutcome, errors.WorkerDied)
    return isinstance(error, passing) or error.status in _PASSING_STATUSES


def _not_ready(deadline: Deadline, last: errors.EisenClientError | None) -> errors.NotReady:
    message = f"the model did not answer within {deadline.seconds:g} s"
    if last is None:
        return errors.NotReady(message)
    return errors.NotReady(
        f"{message}; the last obstacle was {type(last).__name__}: {last.args[0]}",
        **{name: getattr(last, name) for name in ("status", "type", "server_message", "stage")},
    )
