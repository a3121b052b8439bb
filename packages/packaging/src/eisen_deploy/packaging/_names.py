"""Which names a file may have in an archive.

An archive is unpacked on any system, onto the import path of the server's Python.
"""

from __future__ import annotations

import importlib.machinery
import re
import sys

from ._shared.names import folded, is_device, portable_problem

__all__ = [
    "OWN_NAMES",
    "folded",
    "hiding_problem",
    "identifier_problem",
    "is_device",
    "portable_problem",
    "top_level_problem",
]

#: Top-level names that pack itself gives out.
OWN_NAMES = (
    "MAR-INF",
    "_eisen_serving",
    "captured_code",
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


def top_level_problem(name: str, *, is_folder: bool) -> str | None:
    """Say what keeps a file or a folder out of the top level of an archive, or ``None``."""
    if folded(name) in {folded(own) for own in OWN_NAMES}:
        return "is a name that the archive itself uses"
    return hiding_problem(name, is_folder=is_folder)


def hiding_problem(name: str, *, is_folder: bool) -> str | None:
    """Say which module of the server a file or a folder on its import path hides, or ``None``."""
    module = name if is_folder else _module_name(name)
    if module in _IMPORTED or module in sys.stdlib_module_names:
        return f"would hide the module {module} on the server"
    return None


def _module_name(name: str) -> str | None:
    """Return the module that Python would import from a file of this name, if any."""
    for suffix in sorted(_MODULE_SUFFIXES, key=len, reverse=True):
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return None
