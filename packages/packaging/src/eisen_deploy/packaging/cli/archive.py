"""Archives as the commands open them: what is wrong with one is told with its name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eisen_deploy.packaging._shared.archive import reader
from eisen_deploy.packaging._shared.archive.reader import Archive
from eisen_deploy.packaging._shared.errors import ContractError
from eisen_deploy.packaging._shared.printable import clean

from .errors import Failed


def open_archive(path: Path) -> Archive:
    """Read the directory and the small files of an archive.

    :raises Failed: if it cannot be read, or is no archive of ours; it names the archive.
    """
    with named(path):
        return reader.read(path)


@contextmanager
def named(path: Path, kind: type[Failed] = Failed) -> Iterator[None]:
    """Name the archive in what is found to be wrong with it."""
    try:
        yield
    except ContractError as error:
        raise kind(f"{clean(str(path))}: {problem}" for problem in error.problems) from error


def as_json(value: Any) -> str:
    """Return a value as the JSON that ``--json`` prints: ASCII, which no terminal obeys."""
    return json.dumps(value, indent=2)
