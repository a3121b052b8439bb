"""Text from elsewhere, made safe for a line of a terminal or a log."""

from __future__ import annotations

import re

# Python counts these as printable, though they show nothing (Default_Ignorable_Code_Point).
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def clean(text: str) -> str:
    """Return a text in which everything but plain, visible characters is written as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_escape_char, text))


def clean_lines(text: str) -> str:
    """Return the program's own text, escaped likewise; its line breaks stay."""
    return "\n".join(map(clean, text.split("\n")))


def _escape_char(char: str) -> str:
    if char.isprintable() and not _INVISIBLE.match(char):
        return char
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
