"""Which names the files of an archive may have.

An archive is unpacked on any system, so a name must mean the same file on each of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

#: Of a whole path, in UTF-8; macOS can open no longer one.
BYTES_LIMIT = 1024
#: Of the parts of a path.
DEPTH_LIMIT = 32
#: Of the files of an archive. This and the next bound what reading all names may cost.
FILES_LIMIT = 2**14
#: Of all paths of an archive together, in UTF-8.
ALL_BYTES_LIMIT = 2**22

_DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{port}{digit}" for port in ("COM", "LPT") for digit in "123456789\u00b9\u00b2\u00b3"
}
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\ud800-\udfff]')
_BYTE_CODE = "__pycache__"
_SHOWN = 80


def problems_of(paths: Sequence[str]) -> list[str]:
    """Say what is wrong with the paths of an archive's files, each one and all together."""
    if len(paths) > FILES_LIMIT:
        return [f"there are {len(paths)} files, and an archive holds at most {FILES_LIMIT}"]
    size = sum(len(path.encode("utf-8", "surrogatepass")) for path in paths)
    if size > ALL_BYTES_LIMIT:
        return [f"the paths have {size} bytes together, and at most {ALL_BYTES_LIMIT} are allowed"]
    told = [(path, path_problem(path)) for path in paths]
    problems = [f"{shown(path)} {problem}" for path, problem in told if problem]
    problems += collisions(path for path, problem in told if not problem)
    if list(paths) != sorted(paths):
        problems.append("the files are not in the order of their names")
    return problems


def path_problem(name: str) -> str | None:
    """Say what keeps a text from being a relative POSIX path everywhere, or ``None``."""
    parts = name.split("/")
    if not parts[0]:
        return "is an absolute path" if name else "is empty"
    if not parts[-1]:
        return "is a folder"
    if len(parts) > DEPTH_LIMIT:
        return f"has {len(parts)} parts, and at most {DEPTH_LIMIT} are allowed"
    for part in parts:
        problem = portable_problem(part)
        if problem:
            return problem
        if part.casefold() == _BYTE_CODE:
            return "would be byte code that Python runs in place of a checked file"
    size = len(name.encode())
    return f"is {size} bytes long, longer than {BYTES_LIMIT}" if size > BYTES_LIMIT else None


def portable_problem(name: str) -> str | None:
    """Say what keeps one part of a path from being a file name everywhere, or ``None``."""
    if name in ("", ".", ".."):
        return f"has the part {name!r}"
    found = _FORBIDDEN.search(name)
    if found:
        return f"holds {found.group()!r}, which not every system allows"
    if name.endswith((".", " ")):
        return "ends in a dot or a space, which Windows drops"
    if is_device(name):
        return "names a device on Windows"
    return "is longer than 255 bytes" if len(name.encode()) > 255 else None


def is_device(name: str) -> bool:
    """Whether Windows takes a file name for a device, as it does ``nul.txt``."""
    return name.split(".", maxsplit=1)[0].rstrip(" ").upper() in _DEVICES


def folded(name: str) -> str:
    """Return a name as a file system sees it that knows neither case nor composition."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def collisions(names: Iterable[str]) -> Iterator[str]:
    """Say which paths some system would take for each other's files or folders.

    In the order of their folded parts, all paths below one folder are neighbours, so it is enough
    to compare each path with the next one.
    """
    keyed = sorted((folded(name).replace("/", "\0"), name) for name in names)
    for (first_key, first), (second_key, second) in zip(keyed, keyed[1:]):  # noqa: RUF007 - 3.9
        problem = _collision(first_key.split("\0"), first, second_key.split("\0"), second)
        if problem:
            yield problem


def shown(name: str) -> str:
    """Return a name for a message: escaped, and of a sane length."""
    return repr(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}...")


def _collision(first_key: list[str], first: str, second_key: list[str], second: str) -> str | None:
    if first == second:
        return f"{shown(first)} is there twice"
    if first_key == second_key:
        return f"{shown(second)} differs from {shown(first)} only by case or composition"
    if first_key == second_key[: len(first_key)]:
        return f"{shown(first)} is a file, and the folder of {shown(second)}"
    pairs = zip(zip(first_key, second_key), zip(first.split("/"), second.split("/")))
    for folded_parts, parts in pairs:
        if folded_parts[0] != folded_parts[1]:
            return None
        if parts[0] != parts[1]:
            return (
                f"folders of {shown(first)} and {shown(second)} differ only by case or composition"
            )
    return None
