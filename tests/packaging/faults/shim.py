"""The preloaded shim: how it is built, and how the process that it is loaded into uses it."""

from __future__ import annotations

import ctypes
import enum
import errno
import os
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")


class Mode(enum.IntEnum):
    """What happens at the chosen call; the order is that of shim.c."""

    COUNT = 0  # nothing
    ONCE = 1  # it fails
    EVER = 2  # it and all that follow fail
    FULL = 3  # all from it on fail that a full disk refuses
    SHORT = 4  # all from it on that move bytes move half of them
    KILL = 5  # the process dies, of a writing call after half of the bytes


def build(compiler: str, folder: Path) -> Path:
    library = folder / "shim.so"
    flags = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *flags, "-o", library, SOURCE, "-ldl"], check=True)
    return library


def _loaded() -> ctypes.CDLL:
    library = ctypes.CDLL(None)
    library.shim_arm.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_int, ctypes.c_int]
    library.shim_calls.restype = library.shim_struck.restype = ctypes.c_long
    library.shim_name.restype = library.shim_path.restype = ctypes.c_char_p
    return library


def arm(folder: Path, at: int, mode: Mode, number: int = errno.EIO) -> None:
    """Count the calls that concern a folder from now on, and let something happen at one."""
    _loaded().shim_arm(os.fsencode(folder), at, mode, number)


def disarm() -> None:
    _loaded().shim_arm(b"", 0, Mode.COUNT, 0)


def calls() -> int:
    return _loaded().shim_calls()


def struck() -> str:
    """The first call that was struck, and what it was about; empty if there was none."""
    library = _loaded()
    if not library.shim_struck():
        return ""
    path = Path(os.fsdecode(library.shim_path()))
    return f"{library.shim_name().decode()} of {path.name}"
