"""Text on a terminal: aligned columns, sizes, and no control characters.

All that the programs print goes through :func:`say`, which lets the line breaks of the program's
own text pass. Text from elsewhere goes through :func:`clean` first, so that it stays in its line.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

from ..printable import clean, clean_lines

_UNITS = ("B", "kB", "MB", "GB", "TB")


def say(text: str, stream: TextIO | None = None) -> None:
    """Write lines and flush them; to the standard output unless a stream is given."""
    stream = stream or sys.stdout
    stream.write(f"{clean_lines(text)}\n")
    stream.flush()


def align_columns(rows: Iterable[Sequence[object]]) -> list[str]:
    """Return rows of one length as lines with aligned columns."""
    texts = [[clean(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in texts]


def format_size(count: float) -> str:
    """Return a number of bytes in the unit that people would use, in powers of 1000."""
    power = 0
    while count >= 999.95 and power < len(_UNITS) - 1:
        count, power = count / 1000, power + 1
    return f"{count:.1f} {_UNITS[power]}" if power else f"{count} B"


def escape_unencodable() -> None:
    """Make the outputs escape characters that their encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
