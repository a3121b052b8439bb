"""Which names a file may have in an archive.

An archive is unpacked on any system, onto the import path of the server's Python.
"""

from __future__ import annotations

import importlib.machinery
import re
import sys
import unicodedata

#: Top-level names that pack itself gives out.
OWN_NAMES = (
    "MAR-INF",
    "_eisen_serving",
    "dill",
    "eisen.json",
    "metadata.json",
    "model.pt",
    "model.pt2",
    "post_process_tform.pkl",
    "pre_process_tform.pkl",
)

_DEVICES = {"CON", "PRN", "AUX", "NUL"} | {
    f"{port}{digit}" for port in ("COM", "LPT") for digit in "123456789¹²³"
}
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]')
_IMPORTED = {"dill", "eisen_deploy", "numpy", "sitecustomize", "torch", "ts", "usercustomize"}
_MODULE_SUFFIXES = (*importlib.machinery.all_suffixes(), ".pyd", ".pyw")
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,126}")


def identifier_problem(what: str, value: object) -> str | None:
    """Say what keeps a text from being a part of a URL and of a file name, or ``None``."""
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
        return (
            f"{what}: expected a str of 1 to 127 letters, digits, dots, underscores and hyphens "
            f"that begins with a letter or a digit, came {value!r}"
        )
    if is_device(value):
        return f"{what}: {value!r} names a device on Windows"
    return None


def portable_problem(name: str) -> str | None:
    """Say what keeps one part of a path from being a file name everywhere, or ``None``."""
    found = _FORBIDDEN.search(name)
    if found:
        return f"holds {found.group()!r}, which not every system allows"
    if name.endswith((".", " ")):
        return "ends in a dot or a space, which Windows drops"
    if is_device(name):
        return "names a device on Windows"
    return "is longer than 255 bytes" if len(name.encode()) > 255 else None


def top_level_problem(name: str, *, is_folder: bool) -> str | None:
    """Say what keeps a file or a folder out of the top level of an archive, or ``None``."""
    if folded(name) in {folded(own) for own in OWN_NAMES}:
        return "is a name that the archive itself uses"
    module = name if is_folder else _module_name(name)
    if module in _IMPORTED or module in sys.stdlib_module_names:
        return f"would hide the module {module} on the server"
    return None


def is_device(name: str) -> bool:
    """Whether Windows takes a file name for a device, as it does ``nul.txt``."""
    return name.split(".", maxsplit=1)[0].rstrip(" ").upper() in _DEVICES


def folded(name: str) -> str:
    """Return a name as a file system sees it that knows neither case nor composition."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _module_name(name: str) -> str | None:
    """Return the module that Python would import from a file of this name, if any."""
    for suffix in sorted(_MODULE_SUFFIXES, key=len, reverse=True):
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return None
