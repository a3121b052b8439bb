"""Ways to end what runs too long, by an exception in the thread that runs it.

==========================  ==================================================================
``AlarmInterrupt``          by a signal, on Python's main thread, where the system has timers
                            that send signals (not Windows). It also ends what waits in the
                            system, such as ``time.sleep``
``ThreadInterrupt``         by a second thread, on any thread. What waits in the system is
                            ended once it has waited
==========================  ==================================================================

Neither ends a call into native code before that returns: Python raises between two of its own
instructions. There, and where an alarm cannot be used, the time is only checked: between the
stages of a request, and before each request.
"""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

#: User code that swallows an interruption is interrupted again after so many seconds.
AGAIN = 1.0


class Interrupted(BaseException):
    """The time is over. No error of a model: ``except Exception`` in user code lets it through."""


class Interrupt(Protocol):
    """A way to end what runs too long; for one batch at a time, on the thread that answers it."""

    def start(self, seconds: float) -> None:
        """From now on, once the time is over, interrupt what :meth:`call` runs on this thread."""

    def stop(self) -> None:
        """Interrupt nothing any more: the batch is answered."""

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that may be interrupted.

        Nothing but the function is: once this is left, no interruption arrives any more.

        :raises Interrupted: if the time is over before the function ends.
        """


class AlarmInterrupt:
    """Interrupts Python's main thread by a signal; elsewhere it does nothing.

    The signal ``SIGALRM`` and the timer ``ITIMER_REAL`` are used meanwhile, and left as they were.

    :param again: seconds after which code that swallowed an interruption gets the next one.
    """

    def __init__(self, again: float = AGAIN) -> None:
        self._again = again
        self._restore: Callable[[], None] | None = None

    def start(self, seconds: float) -> None:
        """See :class:`Interrupt`."""
        if not _can_use_alarms():
            return
        start = time.monotonic()
        handler = signal.signal(signal.SIGALRM, self._on_alarm)
        left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, self._again)

        def restore() -> None:
            # In this order: an alarm with no handler would end the process.
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)
            if left:
                passed = time.monotonic() - start
                signal.setitimer(signal.ITIMER_REAL, max(left - passed, 1e-3), interval)

        self._restore = restore

    def stop(self) -> None:
        """See :class:`Interrupt`."""
        restore, self._restore = self._restore, None
        if restore is not None:
            restore()

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """See :class:`Interrupt`."""
        return _call(function, *args, **kwargs)

    def _on_alarm(self, _signal: int, frame: FrameType | None) -> None:
        if _is_in_call(frame):
            raise Interrupted


class ThreadInterrupt:
    """Interrupts any thread, by :c:func:`PyThreadState_SetAsyncExc` from a thread of its own.

    Such an exception arrives a little after it was sent, when the function may have ended already.
    So each call is closed before it is left: from then on none is sent, one that is being sent is
    waited for, and one that has not arrived is taken back. If one arrives while a call is closed,
    the closing starts again. That happens once at most: an exception is sent only to a thread that
    was just seen inside the function.

    :param again: seconds after which code that swallowed an interruption gets the next one.
    """

    def __init__(self, again: float = AGAIN) -> None:
        self._again = again
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._target = 0
        self._due = self._wakes_at = float("inf")
        # These two are read and written without a lock: an exception could leave it locked.
        self._is_open = self._is_sending = False

    def start(self, seconds: float) -> None:
        """See :class:`Interrupt`."""
        with self._wake:
            self._target = threading.get_ident()
            self._due = time.monotonic() + seconds
            if self._thread is None or not self._thread.is_alive():  # such as after a fork
                self._thread = threading.Thread(
                    target=self._watch, name="eisen-interrupt", daemon=True
                )
                self._thread.start()
            elif self._due < self._wakes_at:
                self._wake.notify_all()  # after a fork, the first to wait is no more

    def stop(self) -> None:
        """See :class:`Interrupt`."""
        self._due = float("inf")

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """See :class:`Interrupt`."""
        try:
            try:
                self._is_open = True
                return _call(function, *args, **kwargs)
            finally:
                self._close()
        except Interrupted:
            self._close()  # it may have come out of the first one
            raise

    def _close(self) -> None:
        self._is_open = False
        while self._is_sending:
            time.sleep(0)
        _set_exception(threading.get_ident(), None)

    def _watch(self) -> None:
        with self._wake:
            while True:
                self._wakes_at = self._due
                now = time.monotonic()
                if self._due <= now:
                    self._wakes_at = now + (self._again if self._send() else _SOON)
                left = self._wakes_at - now
                self._wake.wait(None if left == float("inf") else left)

    def _send(self) -> bool:
        """Interrupt the function that is being called, if one is and its time is over."""
        self._is_sending = True  # an open call is not left from here on
        try:
            sends = (
                self._is_open
                and self._due <= time.monotonic()
                and _is_in_call(sys._current_frames().get(self._target))  # noqa: SLF001
            )
            if sends:
                _set_exception(self._target, Interrupted)
            return sends
        finally:
            self._is_sending = False


# When the time is over and nothing is being called, the next call is looked for so often.
_SOON = 0.01


def _call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function; on the stack, this says that a thread may be interrupted."""
    return function(*args, **kwargs)


def _is_in_call(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code is _call.__code__:
            return True
        frame = frame.f_back
    return False


def _set_exception(thread: int, kind: type[BaseException] | None) -> None:
    """Have a thread raise an exception as soon as it runs Python; with ``None`` take that back."""
    pending = ctypes.py_object() if kind is None else ctypes.py_object(kind)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), pending)


def _can_use_alarms() -> bool:
    return (
        threading.current_thread() is threading.main_thread()
        and hasattr(signal, "setitimer")  # not on Windows
        and signal.getsignal(signal.SIGALRM) is not None  # set by native code: not ours to change
    )
