"""When a request that failed is sent again."""

from __future__ import annotations

import random as _random
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from eisen_deploy.client import _errors as errors
from eisen_deploy.client._logging import log
from eisen_deploy.client._waiting.deadline import CancelRequested, Expired

if TYPE_CHECKING:
    from .calls import Call

T = TypeVar("T")

#: Of a proxy, where no type says that the answer is the server's own; or where that says so.
_PROXY_STATUSES = (408, 500, 502, 504)
_PROXY_TYPES = (None, "ReplicaLost")


class Retries:
    """How often, and how soon, a request is sent again.

    The waits grow twofold each time, and each is a random part of that ("full jitter"), so that
    many clients do not come back all at once. A ``Retry-After`` of the server is a lower bound.
    All of it happens within the one deadline of the call.

    :param count: how often it is sent again; 0 for never.
    :param first_delay: seconds that the first wait takes at most.
    :param max_delay: seconds that any wait takes at most.
    :param random: returns a number from 0 to 1.
    :raises ValueError: if a number is negative.
    """

    def __init__(
        self,
        count: int = 3,
        *,
        first_delay: float = 0.5,
        max_delay: float = 8.0,
        random: Callable[[], float] = _random.random,
    ) -> None:
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise ValueError("retries must be a number of 0 or more, or a Retries")
        if not (first_delay >= 0 and max_delay >= 0):
            raise ValueError("first_delay and max_delay must be seconds of 0 or more")
        self.count = count
        self.first_delay = first_delay
        self.max_delay = max_delay
        self._random = random

    def __repr__(self) -> str:
        return (
            f"Retries({self.count}, first_delay={self.first_delay!r}, max_delay={self.max_delay!r})"
        )

    def delay(self, number: int) -> float:
        """Return the seconds to wait before sending again for the first, second, ... time."""
        longest = self.first_delay * 2.0 ** min(number - 1, 60)
        return self._random() * min(self.max_delay, longest)


def call_with_retries(attempt: Callable[[], T], call: Call, *, renewable: bool) -> T:
    """Return the result of an attempt, of the first that has one.

    :param renewable: whether the token may be another one when it is read again.
    :raises EisenClientError: that of the last attempt, which mentions the first one as well.
    """
    failures = _Failures(call.idempotent, renewable)
    while True:
        try:
            return attempt()
        except errors.EisenClientError as error:
            failures.add(error)
        delay = failures.delay(call.retries)
        remaining = call.deadline.remaining
        if delay is None or (remaining is not None and delay >= remaining):
            break
        failures.forget_frames()
        log.debug("request %s: again in %.2f s", call.id, delay)
        try:
            call.deadline.wait(delay)
        except CancelRequested:
            failures.cancel()
            break
        except Expired:  # between the look at the clock and the wait
            break
    raise failures.final()


class _Failures:
    """What became of the attempts so far; only the first and the last error are kept."""

    def __init__(self, idempotent: bool, renewable: bool) -> None:
        self._idempotent = idempotent
        self._tokens = int(renewable)
        self._died = 0
        self._sent_again = 0
        self._executed: bool | None = False
        self._may_pass = False  # the last error by itself, whatever those before it did
        self._count = 0
        self._errors: list[errors.EisenClientError] = []  # the first and the last

    def add(self, error: errors.EisenClientError) -> None:
        """Take note of an error, and let it mention those before."""
        self._count += 1
        self._errors[1:] = [error]
        self._may_pass = error.retry
        if self._count > 1:
            self._add_history(error, self._errors[0])
        if error.executed is not False:
            self._executed = error.executed or self._executed or None

    def final(self) -> errors.EisenClientError:
        """Return the last error with the first as its cause, and keep neither."""
        first, last = self._errors[0], self._errors[-1]
        self._errors.clear()  # the error will hold the frame that holds this
        last.__cause__ = None if last is first else first
        return last

    def delay(self, policy: Retries) -> float | None:
        """Return the seconds until the next attempt, or ``None`` to make no further one."""
        error = self._errors[-1]
        if isinstance(error, errors.Unauthorized):
            self._tokens -= 1
            expired = error.type == "InvalidKeyException" or error.status == 401
            return 0.0 if expired and self._tokens >= 0 else None
        if isinstance(error, errors.WorkerDied):
            self._died += 1
        if self._sent_again >= policy.count or not self._is_harmless(error):
            return None
        self._sent_again += 1
        return max(policy.delay(self._sent_again), error.retry_after or 0.0)

    def forget_frames(self) -> None:
        """Let go of the frames in which the last error was raised: they hold the batch."""
        self._errors[-1].__traceback__ = None

    def cancel(self) -> None:
        """Take note that the call was cancelled between two attempts."""
        last = self._errors[-1]
        cancelled = errors.Cancelled(
            f"cancelled while waiting to send again after {_brief(last)}",
            executed=self._executed,
            retry=self._executed is False,
            attempts=self._count,
            stage=last.stage,
        )
        self._errors[1:] = [cancelled]

    def _is_harmless(self, error: errors.EisenClientError) -> bool:
        if isinstance(error, (errors.Cancelled, errors.DeadlineExceeded)):
            return False
        if self._idempotent and (isinstance(error, errors.UnknownOutcome) or _may_be_lost(error)):
            return True
        if self._idempotent and isinstance(error, errors.WorkerDied):
            return self._died == 1
        # Of a body that was cut off nothing is executed, but a part of it has left this machine.
        return self._may_pass and (self._idempotent or error.stage != "sending")

    def _add_history(self, error: errors.EisenClientError, first: errors.EisenClientError) -> None:
        error.attempts = self._count
        if _brief(first) != _brief(error):
            error.first_failure = _brief(first)
        if self._executed is not False and error.executed is False:
            error.executed, error.retry = self._executed, False


def _may_be_lost(error: errors.EisenClientError) -> bool:
    """Whether a proxy may have lost the server once that had the request."""
    if type(error) is not errors.ServerFailed:
        return False
    return error.status == 503 or (error.type in _PROXY_TYPES and error.status in _PROXY_STATUSES)


def _brief(error: errors.EisenClientError) -> str:
    return f"{type(error).__name__}: {error.args[0]}"
