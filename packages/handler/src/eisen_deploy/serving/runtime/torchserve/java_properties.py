"""``.properties`` files as Java reads them.

Source: ``java.util.Properties.load(InputStream)``, Java SE 17.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_BLANK = " \t\f"
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_LINE_END = re.compile(r"\r\n|\r|\n")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.?)", re.DOTALL)


@dataclass(frozen=True)
class Entry:
    """One property: name, value, and the line that it begins in, from 1."""

    name: str
    value: str
    line: int


@dataclass(frozen=True)
class Parsed:
    """What Java reads; of a name that is given twice, the last value counts.

    :param problems: of the lines that Java refuses, with which TorchServe ends at its start.
    """

    entries: tuple[Entry, ...]
    problems: tuple[str, ...] = ()

    @property
    def values(self) -> dict[str, str]:
        """The value of each property."""
        return {entry.name: entry.value for entry in self.entries}


def parse(raw: bytes) -> Parsed:
    """Read a file as Java does: ISO-8859-1, continuation lines, escapes."""
    entries, problems = [], []
    for number, line in _join_continued_lines(raw.decode("iso-8859-1")):
        name, value = _split(line)
        try:
            entries.append(Entry(_unescape(name), _unescape(value), number))
        except ValueError:
            problems.append(f"line {number}: \\u without four hexadecimal digits")
    return Parsed(tuple(entries), tuple(problems))


def _join_continued_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line with its continuations, and the number of its first one."""
    begun, first = "", 0
    for number, natural in enumerate(_LINE_END.split(text), 1):
        line = natural.lstrip(_BLANK)
        if not begun:  # a line that continues nothing is an ordinary one
            if not line or line[0] in "#!":
                continue
            first = number
        begun += line
        backslashes = len(line) - len(line.rstrip("\\"))
        if backslashes % 2:
            begun = begun[:-1]
            continue
        yield first, begun
        begun = ""
    if begun:  # of a lone backslash there, Java makes a property without name and value
        yield first, begun


def _split(line: str) -> tuple[str, str]:
    """Return name and value: apart by ``=``, ``:`` or blanks, whichever is first unescaped."""
    end = 0
    while end < len(line) and line[end] not in "=:" + _BLANK:
        end += 2 if line[end] == "\\" else 1
    rest = line[end:].lstrip(_BLANK)
    if rest[:1] in ("=", ":"):
        rest = rest[1:].lstrip(_BLANK)
    return line[:end], rest


def _unescape(text: str) -> str:
    r"""Resolve the escapes; a backslash before any other character is left out.

    :raises ValueError: for an incomplete ``\uXXXX``.
    """
    return _ESCAPE.sub(_resolve_escape, text)


def _resolve_escape(match: re.Match[str]) -> str:
    escaped = match[1]
    if escaped == "u":
        raise ValueError(escaped)
    return chr(int(escaped[1:], 16)) if len(escaped) > 1 else _ESCAPES.get(escaped, escaped)
