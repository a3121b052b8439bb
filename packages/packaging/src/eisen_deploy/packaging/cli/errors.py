"""Errors of the command line, beside those of packing and of the contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eisen_deploy.packaging._errors import EisenPackagingError
from eisen_deploy.packaging._shared.errors import ContractError
from eisen_deploy.packaging._shared.printable import clean


class Failed(EisenPackagingError):
    """A command cannot be carried out."""


class NotSound(Failed):
    """An archive was verified, and is not as it should be."""


@contextmanager
def name_archive(path: Path, kind: type[Failed] = Failed) -> Iterator[None]:
    """Name the archive in what is found to be wrong with it."""
    try:
        yield
    except (ContractError, EisenPackagingError) as error:
        raise kind(f"{clean(str(path))}: {problem}" for problem in error.problems) from error
