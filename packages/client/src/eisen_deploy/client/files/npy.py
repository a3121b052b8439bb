"""``.npy`` and ``.npz``: arrays as they are, never with pickles in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .content import Content
from .errors import UnsupportedFile, UnwritableFile
from .extras import reading


def read_npy(path: Path) -> Content:
    """Read one array."""
    with reading("an .npy file without pickles"):
        return Content(np.lib.format.open_memmap(path, mode="r"))


def read_npz(path: Path) -> dict[str, Any]:
    """Read all arrays of an ``.npz`` file, by name."""
    with reading("an .npz file without pickles"), np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def pick(arrays: Mapping[str, Any], name: str) -> Content:
    """Return the array of that name, or the only one."""
    if name not in arrays and len(arrays) != 1:
        raise UnsupportedFile(f"holds {len(arrays)} arrays, and none of them is called {name}")
    return Content(arrays[name] if name in arrays else next(iter(arrays.values())))


def write_npy(file: BinaryIO, value: Any) -> None:
    """Write one array."""
    np.save(file, _plain(value), allow_pickle=False)


def write_npz(file: BinaryIO, values: Mapping[str, Any]) -> None:
    """Write values by name, each as an array."""
    np.savez_compressed(file, **{name: _plain(value) for name, value in values.items()})


def _plain(value: Any) -> Any:
    array = np.asarray(value)
    if array.dtype.hasobject:
        raise UnwritableFile(f"{type(value).__name__} is no array of numbers or text: use .json")
    return array
