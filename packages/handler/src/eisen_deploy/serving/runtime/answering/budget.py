"""The time within which a batch has to be answered.

A server ends a worker that takes longer than its response timeout, and with it every request of the
batch. So all of a batch has to be answered a little earlier: what does not end by itself is ended,
where Python code runs, by an exception out of a signal handler.

A signal can only interrupt Python's main thread, and only between two instructions of Python, so
never within one call into native code. Elsewhere the time is only checked: between the stages of a
request, and before each request.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")

#: Of the response timeout this share, within these seconds, is left for sending the reply.
MARGIN = 0.1
MARGIN_SECONDS = (1.0, 5.0)

# An alarm that user code swallows comes again after so many seconds.
_AGAIN = 1.0


class Interrupted(BaseException):
    """The time is over. No error of a model: ``except Exception`` in user code lets it through."""


def seconds_for(timeout: float) -> float:
    """Return the seconds in which a batch must be answered, under a response timeout in seconds.

    A tenth of it is left, at least 1 s and at most 5 s, but never more than half of it.
    """
    least, most = MARGIN_SECONDS
    return timeout - min(max(MARGIN * timeout, least), most, timeout / 2)


class Budget:
    """The time for one batch, from entering it as a context to leaving it.

    The signal ``SIGALRM`` and the timer ``ITIMER_REAL`` are used meanwhile, and left as they were.

    :param seconds: ``None`` for as long as it takes.
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._end = float("inf")
        self._before: tuple[Any, float, float, float] | None = None

    def __enter__(self) -> Self:
        if self.seconds is None:
            return self
        start = time.monotonic()
        self._end = start + self.seconds
        if _can_interrupt():
            handler = signal.signal(signal.SIGALRM, self._on_alarm)
            left, interval = signal.setitimer(signal.ITIMER_REAL, self.seconds, _AGAIN)
            self._before = (handler, left, interval, start)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is None:
            return
        handler, left, interval, start = self._before
        # In this order: an alarm with no handler would end the process.
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:
            passed = time.monotonic() - start
            signal.setitimer(signal.ITIMER_REAL, max(left - passed, 1e-3), interval)

    @property
    def is_spent(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self._end

    def check(self) -> None:
        """See whether there is time left.

        :raises Interrupted: if it is over.
        """
        if self.is_spent:
            raise Interrupted

    def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function that may be interrupted.

        :raises Interrupted: if the time is over before it ends. Also if it swallowed the
            interruption: what it gave then may lack a part.
        """
        try:
            result = function(*arguments)
        except (Exception, SystemExit):
            self.check()  # what it raised may be what it made of the interruption
            raise
        self.check()
        return result

    def _on_alarm(self, _signal: int, frame: FrameType | None) -> None:
        # Only what run() calls is interrupted: so the exception always passes through run().
        while frame is not None and frame.f_back is not None:
            if frame.f_back.f_code is Budget.run.__code__:
                raise Interrupted
            frame = frame.f_back


def _can_interrupt() -> bool:
    return (
        threading.current_thread() is threading.main_thread()
        and hasattr(signal, "setitimer")  # not on Windows
        and signal.getsignal(signal.SIGALRM) is not None  # set by native code: not ours to change
    )
