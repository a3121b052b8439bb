"""Keeping libraries silent while they read and write for us: what they say quotes headers."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_is_silent: ContextVar[bool] = ContextVar("is_silent", default=False)
#: Warnings of one thread only, where the interpreter can do that (Python 3.14).
_HAS_OWN_WARNINGS = getattr(sys.flags, "context_aware_warnings", 0)


@contextmanager
def silence() -> Iterator[None]:
    """Drop what this thread logs, and all warnings.

    Loggers stay as they are, and other threads are heard: several may be in here at once.
    """
    _filter_handlers()
    token = _is_silent.set(True)
    try:
        with _no_warnings() if _HAS_OWN_WARNINGS else _no_warnings_of_any_thread:
            yield
    finally:
        _is_silent.reset(token)


def _filter_handlers() -> None:
    """Let each handler that there is drop what is logged in here.

    Filters of loggers would not do: they pass by what a child logs, and libraries make further
    loggers on the way. The filter stays, for another thread may still be in here.
    """
    loggers = [logging.root, *list(logging.root.manager.loggerDict.values())]
    handlers = [handler for each in loggers for handler in getattr(each, "handlers", ())]
    for handler in (*handlers, logging.lastResort):
        if handler is not None:
            handler.addFilter(_is_heard)


def _is_heard(_: logging.LogRecord) -> bool:
    return not _is_silent.get()


@contextmanager
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class _Shared:
    """:func:`_no_warnings` for several threads: the first to enter and the last to leave count.

    Each alone would restore what it found, and so ignore warnings for ever if they overlap.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._block = _no_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._block = _no_warnings()
                self._block.__enter__()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._block.__exit__(None, None, None)


_no_warnings_of_any_thread = _Shared()
