"""How the files of a folder are named in errors and remarks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from eisen_deploy.client.files.errors import FileError

if TYPE_CHECKING:
    from .headers import Slice

_MOST = 8


def name_some(names: Sequence[str], most: int = _MOST) -> str:
    """Return names in one line, the first few of many."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def name_images(images: Iterable[Slice], most: int = _MOST) -> str:
    """Return the names of images in one line, the first few of many."""
    return name_some([each.name for each in images], most)


def list_reasons(pairs: Iterable[tuple[str, str]]) -> str:
    """Return reasons in one line, each with the names it holds for.

    :param pairs: of a name and its reason.
    """
    groups: dict[str, list[str]] = {}
    for name, reason in pairs:
        groups.setdefault(reason, []).append(name)
    return "; ".join(f"{name_some(names)} ({reason})" for reason, names in groups.items())


def count_images(number: int) -> str:
    """Return a number of images in words."""
    return "1 image" if number == 1 else f"{number} images"


@contextmanager
def prefix_errors(name: str) -> Iterator[None]:
    """Put the name of a folder's file before an error; a file given by itself has no name here."""
    try:
        yield
    except FileError as error:
        if not name:
            raise
        raise type(error)(f"{name} {error}") from error
