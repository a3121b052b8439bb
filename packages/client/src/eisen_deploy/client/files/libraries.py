"""Calling libraries that not everyone has, and that say too much.

What they log, and what their warnings and errors say, quotes the headers of files. So they are kept
silent, and whatever they raise becomes an error of ours, with theirs as its cause.
"""

from __future__ import annotations

import importlib
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType

from .errors import FileError, MissingExtra, UnreadableFile, UnwritableFile
from .signatures import identify

_is_silent: ContextVar[bool] = ContextVar("is_silent", default=False)
#: Warnings of one thread only, where the interpreter can do that (Python 3.14).
_HAS_OWN_WARNINGS = getattr(sys.flags, "context_aware_warnings", 0)


def require(module: str, extra: str) -> ModuleType:
    """Import a library that an extra of this distribution brings.

    :raises MissingExtra: if it is not installed; the message says how to install it.
    """
    try:
        with silence():
            return importlib.import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise MissingExtra(
            f'{library} is needed for it: pip install "eisen-deploy-client[{extra}]"'
        ) from error


def reading(what: str, path: Path | None = None) -> AbstractContextManager[None]:
    """Turn whatever a library raises while it reads into one error, and keep it silent.

    :param what: the file should be, in the words of :mod:`.signatures`.
    :param path: of the file: where it is something else, the error says what.
    :raises UnreadableFile: if anything is raised.
    """
    return _translating(lambda error: UnreadableFile(_explain_failure(error, what, path)))


def writing(what: str) -> AbstractContextManager[None]:
    """Turn whatever a library raises while it writes into one error, and keep it silent.

    :param what: is to be written.
    :raises UnwritableFile: if anything is raised.
    """

    def explain(error: Exception) -> UnwritableFile:
        if isinstance(error, OSError) and error.strerror:
            return UnwritableFile(f"cannot be written: {error.strerror}")
        return UnwritableFile(f"{what} cannot be made of such values")

    return _translating(explain)


@contextmanager
def _translating(translate: Callable[[Exception], FileError]) -> Iterator[None]:
    with silence():
        try:
            yield
        except (MemoryError, FileError):
            raise
        except Exception as error:
            raise translate(error) from error


def _explain_failure(error: Exception, what: str, path: Path | None) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror}"
    if path is None or path.is_dir():
        return f"is damaged, or is not {what}"
    if not path.stat().st_size:
        return f"is empty, and not {what}"
    found = identify(path)
    if found == what:
        return f"is {what}, and damaged or cut off: copy it again"
    return f"is not {what}: it is {found}" if found else f"is damaged, or is not {what}"


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


class _SharedBlock:
    """:func:`_no_warnings` for several threads: the first to enter and the last to leave count.

    Each alone would restore what it found, and so ignore warnings for ever if they overlap.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._block = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._block.enter_context(_no_warnings())
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._block.close()


_no_warnings_of_any_thread = _SharedBlock()
