"""``.npy`` and ``.npz``: arrays as they are, never with pickles in them."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import IO, BinaryIO

import numpy as np

from eisen_deploy.client._shared.wire.values import normalise_bools

from .content import Array, Content
from .errors import UnreadableFile, UnsupportedFile, UnwritableFile
from .libraries import reading, writing

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npy(path: Path) -> Content:
    """Read one array."""
    with reading("an .npy file", path):
        with path.open("rb") as file:
            size = _check_header(file)
            if path.stat().st_size < size:
                raise UnreadableFile("is cut off: it ends before its array does")
        return Content(normalise_bools(np.lib.format.open_memmap(path, mode="r")))


def read_npz(path: Path) -> dict[str, Array]:
    """Read all arrays of an ``.npz`` file, by name."""
    with reading("an .npz file", path), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if not all(name.endswith(".npy") for name in names) or len(set(names)) < len(names):
            raise UnsupportedFile("is a zip file that does not hold one array for each name")
        return {name[: -len(".npy")]: _read_member(archive, name) for name in names}


def _read_member(archive: zipfile.ZipFile, name: str) -> Array:
    with archive.open(name) as file:
        _check_header(file)
    with archive.open(name) as file:
        array: Array = np.lib.format.read_array(file, allow_pickle=False)
        file.read()  # to the end, where the checksum is
    return normalise_bools(array)


def _check_header(file: IO[bytes]) -> int:
    """Check that there is an array of values, and return where it ends.

    :raises FileError: if it holds objects, which would be a pickle, or a table.
    """
    read_header = _HEADERS.get(np.lib.format.read_magic(file))
    if read_header is None:  # only made for names of columns that are not Latin
        raise UnsupportedFile("holds a table with named columns: save each as an array")
    shape, _, dtype = read_header(file)
    if dtype.hasobject:
        raise UnreadableFile("holds Python objects: only arrays without pickles are read")
    if dtype.names is not None:
        raise UnsupportedFile("holds a table with named columns: save each as an array")
    return file.tell() + math.prod(shape) * dtype.itemsize


def pick(arrays: Mapping[str, Array], name: str) -> Content:
    """Return the array of that name, or the only one."""
    if name not in arrays and len(arrays) != 1:
        raise UnsupportedFile(f"holds {len(arrays)} arrays, and none of them is called {name}")
    return Content(arrays[name] if name in arrays else next(iter(arrays.values())))


def write_npy(file: BinaryIO, value: object) -> None:
    """Write one array."""
    # Into a file as such numpy writes by itself, and does not notice a full disk.
    target = SimpleNamespace(write=file.write)
    np.lib.format.write_array(target, _to_array(value), allow_pickle=False)


def write_npz(file: BinaryIO, values: Mapping[str, object]) -> None:
    """Write values by name, each as an array."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in values.items():  # numpy would take one called "file" for the file
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, _to_array(value), allow_pickle=False)


def _to_array(value: object) -> Array:
    with writing("an array of numbers or text"):  # a list may be ragged
        array = normalise_bools(np.asarray(value))
    if array.dtype.hasobject or array.dtype.names is not None:
        raise UnwritableFile(
            f"{type(value).__name__} is not an array of numbers or text: use .json"
        )
    return array
