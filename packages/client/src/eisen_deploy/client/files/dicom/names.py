"""How the files of a folder are named in errors and remarks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from eisen_deploy.client.files.errors import FileError

_MOST = 8


def name_some(names: Sequence[str], most: int = _MOST) -> str:
    """Return names in one line, the first few of many."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def group(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the names for each reason, of pairs of a name and a reason."""
    groups: dict[str, list[str]] = {}
    for name, reason in pairs:
        groups.setdefault(reason, []).append(name)
    return groups


def list_groups(groups: Mapping[str, Sequence[str]]) -> str:
    """Return the reasons in one line, each with the names it holds for."""
    return "; ".join(f"{name_some(names)} ({reason})" for reason, names in groups.items())


def count_images(number: int) -> str:
    """Return a number of images in words."""
    return "1 image" if number == 1 else f"{number} images"


def name_strays(names: Sequence[str], values: Sequence[str]) -> str:
    """Return the names of those whose value is not the commonest; nothing if all are the same."""
    usual = Counter(values).most_common(1)[0][0]
    return name_some([name for name, value in zip(names, values) if value != usual])


@contextmanager
def blamed_on(name: str) -> Iterator[None]:
    """Put the name of a folder's file before an error; a file given by itself has none here."""
    try:
        yield
    except FileError as error:
        if not name:
            raise
        raise type(error)(f"{name} {error}") from error
