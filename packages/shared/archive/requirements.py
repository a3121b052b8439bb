"""Requirements of an archive: lines that pip can only read as a requirement.

An archive's ``requirements.txt`` is handed to ``pip install -r``, where a line may also be an
option or a path, and where ``${NAME}`` is replaced by a variable of the environment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

FILE_NAME = "requirements.txt"

_HEAD = """\
# What this archive needs beside torch, numpy and TorchServe, with all that it needs in turn:
#     pip install --no-deps -r requirements.txt
"""

#: Of a distribution or an extra (:pep:`508`).
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_EXTRAS = rf"(?:\[{NAME.pattern}(?:,{NAME.pattern})*\])?"
_VERSION = r"(?:===|~=|[=!<>]=|[<>])[A-Za-z0-9][A-Za-z0-9._*+!-]*"
_URL = r" ?@ [A-Za-z][A-Za-z0-9+.-]*:[!-~]+"
_MARKER = r"(?: ?; [ -~]+)?"
_REQUIREMENT = re.compile(
    rf"{NAME.pattern}{_EXTRAS}(?:{_VERSION}(?:,{_VERSION})*|{_URL})?{_MARKER}"
)
# pip joins lines at a backslash, and takes what begins with a hyphen for an option.
_OBEYED = re.compile(r"\\|\$\{|(?:^|\s)[-#]")


def requirement_problem(text: object) -> str | None:
    """Say what keeps a value from being one requirement as packaging writes it, or ``None``."""
    if not isinstance(text, str) or not _REQUIREMENT.fullmatch(text) or _OBEYED.search(text):
        got = f"{text:.80}" if isinstance(text, str) else type(text).__name__
        return f"expected a requirement such as 'scipy==1.16.0', got {got!r}"
    return None


def render(requirements: Iterable[str]) -> bytes:
    """Return the content of ``requirements.txt``."""
    return (_HEAD + "".join(f"{requirement}\n" for requirement in requirements)).encode()
