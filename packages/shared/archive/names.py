"""Which names an archive and its files may have; packaging and every reader follow these rules.

An archive is unpacked on any system, so a name must mean the same file on each of them. It is
unpacked onto the import path of the server's Python, so it must not take the place of a module. And
the model's name and version become parts of addresses, of file names and of command lines.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

#: Of a whole path, in UTF-8; macOS cannot open longer ones.
BYTES_LIMIT = 1024
#: Of the parts of a path.
DEPTH_LIMIT = 32
#: Of the files of an archive. This and the next bound what reading all names may cost.
FILES_LIMIT = 2**14
#: Of all paths of an archive together, in UTF-8.
ALL_BYTES_LIMIT = 2**22

#: The user's own modules, at the front of the import path of whoever loads the archive.
CODE_FOLDER = "captured_code"
#: Top-level names that packing itself uses.
OWN_NAMES = (
    "MAR-INF",
    "_eisen_serving",
    CODE_FOLDER,
    "dill",
    "eisen.json",
    "metadata.json",
    "model-config.yaml",
    "model.pt",
    "model.pt2",
    "post_process_tform.pkl",
    "pre_process_tform.pkl",
    "requirements.txt",
    "sample",
)

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,126}")
_HANDLER_FILE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,200}\.py")
_IMPORTED = {"dill", "eisen_deploy", "numpy", "sitecustomize", "torch", "ts", "usercustomize"}
_SOURCES, _LIBRARIES = (".py", ".pyc", ".pyw"), (".so", ".pyd")

_DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{port}{digit}" for port in ("COM", "LPT") for digit in "123456789\u00b9\u00b2\u00b3"
}
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\ud800-\udfff]')
_BYTE_CODE = "__pycache__"
_SHOWN = 80


def identifier_problem(what: str, value: object) -> str | None:
    """Say what keeps a value from being a part of a URL and of a file name, or ``None``."""
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
        return (
            f"{what}: expected a str of 1 to 127 letters, digits, dots, underscores and hyphens "
            f"that begins with a letter or a digit, got {value!r:.200}"
            + (f": pass it as text, {str(value)!r}" if isinstance(value, (int, float)) else "")
        )
    if is_device(value):
        return f"{what}: {value!r} names a device on Windows"
    return None


def handler_file_problem(name: str) -> str | None:
    """Say what keeps a file from being imported as a handler, or ``None``."""
    if not _HANDLER_FILE.fullmatch(name):
        return (
            "cannot be imported: its name may hold letters, digits, underscores and hyphens, and "
            "begins with a letter or an underscore"
        )
    return portable_problem(name) or top_level_problem(name, is_folder=False)


def top_level_problem(name: str, *, is_folder: bool) -> str | None:
    """Say what keeps a file or a folder out of the top level of an archive, or ``None``."""
    if fold_name(name) in {fold_name(own) for own in OWN_NAMES}:
        return "is a name that the archive itself uses"
    return hiding_problem(name, is_folder=is_folder)


def hiding_problem(name: str, *, is_folder: bool) -> str | None:
    """Say which module of the server a file or a folder on its import path hides, or ``None``."""
    module = name if is_folder else _module_name(name)
    if module in _IMPORTED or module in getattr(sys, "stdlib_module_names", ()):  # Python 3.10
        return f"would hide the module {module} on the server"
    return None


def import_problem(path: str) -> str | None:
    """Say which module of the server a file of an archive hides, or ``None``."""
    first, *rest = path.split("/")
    if first == CODE_FOLDER and rest:
        return hiding_problem(rest[0], is_folder=len(rest) > 1)
    return None if first in OWN_NAMES else hiding_problem(first, is_folder=bool(rest))


def _module_name(name: str) -> str | None:
    """Return the module that some Python would import from a file of this name, if any."""
    if name.endswith(_LIBRARIES):  # name.cpython-313-x86_64-linux-gnu.so
        return name.partition(".")[0]
    return name.rpartition(".")[0] if name.endswith(_SOURCES) else None


def find_problems(paths: Sequence[str]) -> list[str]:
    """Say what is wrong with the paths of an archive's files, each one and all together."""
    if len(paths) > FILES_LIMIT:
        return [f"there are {len(paths)} files, and an archive holds at most {FILES_LIMIT}"]
    size = sum(len(path.encode("utf-8", "surrogatepass")) for path in paths)
    if size > ALL_BYTES_LIMIT:
        return [f"the paths have {size} bytes together, and at most {ALL_BYTES_LIMIT} are allowed"]
    found = [(path, path_problem(path)) for path in paths]
    problems = [f"{quote_name(path)} {problem}" for path, problem in found if problem]
    problems += find_collisions(path for path, problem in found if not problem)
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


def fold_name(name: str) -> str:
    """Return a name as file systems see it that ignore case and Unicode composition."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def find_collisions(names: Iterable[str]) -> Iterator[str]:
    """Say which paths would be the same file or folder on some system.

    In the order of their folded parts, all paths below one folder are neighbours, so it is enough
    to compare each path with the next one.
    """
    keyed = sorted((fold_name(name).replace("/", "\0"), name) for name in names)
    for (first_key, first), (second_key, second) in zip(keyed, keyed[1:]):  # noqa: RUF007 - 3.9
        problem = _explain_collision(first_key.split("\0"), first, second_key.split("\0"), second)
        if problem:
            yield problem


def quote_name(name: str) -> str:
    """Return a name for a message: escaped, and of a sane length."""
    return repr(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}...")


def _explain_collision(
    first_key: list[str], first: str, second_key: list[str], second: str
) -> str | None:
    if first == second:
        return f"{quote_name(first)} is there twice"
    if first_key == second_key:
        return f"{quote_name(second)} differs from {quote_name(first)} only by case or composition"
    if first_key == second_key[: len(first_key)]:
        return f"{quote_name(first)} is a file, and the folder of {quote_name(second)}"
    pairs = zip(zip(first_key, second_key), zip(first.split("/"), second.split("/")))
    for folded_parts, parts in pairs:
        if folded_parts[0] != folded_parts[1]:
            return None
        if parts[0] != parts[1]:
            both = f"{quote_name(first)} and {quote_name(second)}"
            return f"folders of {both} differ only by case or composition"
    return None
