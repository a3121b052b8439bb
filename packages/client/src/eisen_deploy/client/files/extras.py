"""Libraries that not everyone has."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import FileError, MissingExtra, UnreadableFile, UnwritableFile
from .signatures import identify
from .silence import silence


def require(module: str, extra: str) -> Any:
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


@contextmanager
def reading(what: str, path: Path | None = None) -> Iterator[None]:
    """Turn whatever a library raises while it reads into one error, and keep it silent.

    Libraries' errors and warnings quote what headers say. The error's cause is the library's own.

    :param what: the file should be, in the words of :mod:`.signatures`.
    :param path: of the file: where it is something else, the error says what.
    :raises UnreadableFile: if anything is raised.
    """
    with silence():
        try:
            yield
        except (MemoryError, FileError):
            raise
        except Exception as error:
            raise UnreadableFile(_explain(error, what, path)) from error


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn whatever a library raises while it writes into one error, and keep it silent.

    :param what: is to be written.
    :raises UnwritableFile: if anything is raised that is not the system's.
    """
    with silence():
        try:
            yield
        except (MemoryError, FileError):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.strerror:
                raise
            raise UnwritableFile(f"{what} cannot be made of such values") from error


def _explain(error: Exception, what: str, path: Path | None) -> str:
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
