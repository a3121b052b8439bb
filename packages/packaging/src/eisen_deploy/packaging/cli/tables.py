"""Text for people: aligned columns, sizes, and nothing that a terminal would obey."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

_INDENT = "  "
_UNITS = ("B", "kB", "MB", "GB", "TB")


def say(text: str, stream: TextIO | None = None) -> None:
    """Write a line, and see that it is out; to the standard output unless a stream is given."""
    stream = stream or sys.stdout
    stream.write(f"{text}\n")
    stream.flush()


def section(title: str, lines: Iterable[str]) -> str:
    """Return a title with indented lines below it; nothing without lines."""
    indented = [f"{_INDENT}{line}".rstrip() for line in lines]
    return "\n".join([title, *indented, ""]) + "\n" if indented else ""


def columns(rows: Iterable[Sequence[object]]) -> list[str]:
    """Return rows as lines with aligned columns."""
    texts = [[clean(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in texts]


def clean(text: str) -> str:
    """Return a text with all that is no plain character written as an escape."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def size(count: float) -> str:
    """Return a number of bytes as people read it, in powers of 1000."""
    power = 0
    while count >= 999.95 and power < len(_UNITS) - 1:
        count, power = count / 1000, power + 1
    return f"{count:.1f} {_UNITS[power]}" if power else f"{count} B"
