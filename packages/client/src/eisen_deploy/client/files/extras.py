"""Libraries that not everyone has."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .errors import FileError, MissingExtra, UnreadableFile, UnwritableFile


def require(module: str, extra: str) -> Any:
    """Import a library that an extra of this distribution brings.

    :raises MissingExtra: if it is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise MissingExtra(
            f'{library} is needed for it: pip install "eisen-deploy-client[{extra}]"'
        ) from error


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn whatever a library raises while it reads into one error, and keep it silent.

    Libraries' errors and warnings quote what headers say. The error's cause is the library's own.

    :param what: the file should be.
    :raises UnreadableFile: if anything is raised.
    """
    with _silence():
        try:
            yield
        except (MemoryError, FileError):
            raise
        except Exception as error:
            raise UnreadableFile(
                f"is damaged, or is not {what} ({type(error).__name__})"
            ) from error


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn whatever a library raises while it writes into one error, and keep it silent.

    :param what: is to be written.
    :raises UnwritableFile: if anything is raised that is not the system's.
    """
    with _silence():
        try:
            yield
        except (MemoryError, OSError, FileError):
            raise
        except Exception as error:
            raise UnwritableFile(f"{what} cannot be made of it ({type(error).__name__})") from error


@contextmanager
def _silence() -> Iterator[None]:
    loggers = [
        logging.getLogger(name) for name in ("nibabel.global", "pydicom", "highdicom", "PIL")
    ]
    before = [logger.disabled for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.disabled = True
            yield
        finally:
            for logger, was in zip(loggers, before):
                logger.disabled = was
