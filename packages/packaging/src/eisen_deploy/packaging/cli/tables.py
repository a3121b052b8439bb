"""Tables of an archive's contents."""

from __future__ import annotations

from collections.abc import Iterable

_INDENT = "  "


def section(title: str, lines: Iterable[str]) -> str:
    """Return a title with indented lines below it; nothing without lines."""
    indented = [f"{_INDENT}{line}".rstrip() for line in lines]
    return "\n".join([title, *indented, ""]) + "\n" if indented else ""
