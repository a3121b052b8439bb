"""Values as text that a file's format reads as just these values, whatever is in them.

Templates never quote by themselves: each value that stands in one goes through the function of the
file's format. What a template says is safe already is :class:`Plain`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from eisen_deploy.serving.runtime._shared.printable import clean


class Plain(str):
    """A text that stands in a file as it is."""

    __slots__ = ()


def quote_json(value: object) -> str:
    """Return a value as JSON in ASCII: YAML and the lists of a Dockerfile read that, too."""
    return value if isinstance(value, Plain) else json.dumps(value)


def quote_systemd(value: object) -> str:
    """Return a value as one word of a command line in a unit, or a list as words."""
    if isinstance(value, (Plain, int)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return " ".join(map(quote_systemd, value))
    if not isinstance(value, str):
        raise TypeError(value)
    return _escape_systemd(value).replace("$", "$$").join('""')


def quote_program(value: str) -> Plain:
    """Return the program of a command line in a unit, in which no variable is replaced."""
    return Plain(f'"{_escape_systemd(value)}"')


def comment(value: object) -> Plain:
    """Return a value as a part of a comment: on one line, and visible."""
    return Plain(clean(str(value)))


def escape_variables(arguments: Sequence[str]) -> list[str]:
    """Return arguments of a container in which Kubernetes replaces no variable."""
    return [argument.replace("$", "$$") for argument in arguments]


def _escape_systemd(text: str) -> str:
    """Escape what a unit obeys within double quotes: specifiers, quotes, control characters."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\x{ord(found[0]):02x}", escaped)
