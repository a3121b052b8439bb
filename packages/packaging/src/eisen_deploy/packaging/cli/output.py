"""What the commands print: titled sections for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable

_LINE = 160  # characters


def format_section(title: str, lines: Iterable[str]) -> str:
    """Return a title with indented lines below it; nothing without lines."""
    indented = [f"  {line}".rstrip() for line in lines]
    return "\n".join([title, *indented, ""]) + "\n" if indented else ""


def format_json(value: object) -> str:
    """Return a value as the JSON that ``--json`` prints: ASCII, which no terminal obeys."""
    return json.dumps(value, indent=2)


def format_json_line(value: object) -> str:
    """Return a value as JSON in one line that is not too long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LINE else f"{text[:_LINE]} ... (--json shows all)"
