"""NIfTI files to arrays.

The axes (i, j, k) are those on disk. What comes after them, such as time, becomes the channels, and
stands first in the array.
"""

from __future__ import annotations

import gzip
import shutil
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np

from eisen_deploy.client.files.content import Array, Content, Grid
from eisen_deploy.client.files.errors import UnreadableFile, UnsupportedFile
from eisen_deploy.client.files.libraries import reading, require
from eisen_deploy.client.files.orientation import find_codes

from .header import Voxels, find_voxels, parse
from .placement import find_affines

_GZIP = b"\x1f\x8b"


def read(path: Path) -> Content:
    """Read a volume; several volumes in one file become channels.

    Values are those that the header's scaling gives, float32 for 8 and 16 bits on disk. Whether the
    file is compressed is seen from its content.

    :raises FileError: if it is damaged, breaks a rule of NIfTI, or is not a volume of real numbers.
    """
    require("nibabel", "nifti")
    with reading("a NIfTI file", path):
        return _read(_load(path))


def _read(raw: Array) -> Content:
    header = parse(raw)
    voxels = find_voxels(header, raw)
    shape = _find_spatial(voxels.shape)
    affine, *also = find_affines(header, shape)
    is_oriented = bool(header["sform_code"] or header["qform_code"])
    grid = Grid(shape, affine, header, also=tuple(also), is_oriented=is_oriented)
    channels = tuple(size for size in voxels.shape[3:] if size != 1)
    array = _read_values(raw, voxels).reshape(shape + channels, order="F")
    array = np.moveaxis(array, 3, 0) if channels else array
    return Content(array, 3, grid, _list_remarks(grid, voxels))


def _load(path: Path) -> Array:
    """Return all bytes of a file, decompressed; what is written into them stays in memory."""
    with path.open("rb") as file:
        start = file.read(2)
    if not start:
        return np.empty(0, np.uint8)
    if start != _GZIP:
        return np.memmap(path, np.uint8, "c")
    content = BytesIO()
    try:
        with gzip.open(path) as file:
            shutil.copyfileobj(file, content, 2**20)  # to the end, where the checksum is
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        ends = isinstance(error, EOFError)
        what = "it ends early" if ends else "its compressed data or its checksum is wrong"
        raise UnreadableFile(f"is damaged: {what}") from error
    return np.asarray(content.getbuffer())


def _read_values(raw: Array, voxels: Voxels) -> Array:
    array: Array = np.ndarray(voxels.shape, voxels.dtype, raw, voxels.offset, order="F")
    if voxels.scaling == (1.0, 0.0):
        return array
    slope, inter = voxels.scaling
    scaled: Array = np.multiply(array, slope, dtype=np.float64)
    scaled += inter
    return scaled.astype(np.float32) if voxels.dtype.itemsize <= 2 else scaled


def _find_spatial(shape: tuple[int, ...]) -> tuple[int, int, int]:
    further = [size for size in shape[3:] if size != 1]
    if len(shape) < 2 or len(further) > 1:
        raise UnsupportedFile(f"has shape {list(shape)}: expected a volume, or a series of volumes")
    sizes = (*shape[:3], 1)
    return sizes[0], sizes[1], sizes[2]


def _list_remarks(grid: Grid, voxels: Voxels) -> tuple[str, ...]:
    remarks = []
    if voxels.spare:
        remarks.append(f"{voxels.spare} bytes after its voxels are not read")
    ways = [find_codes(each) for each in (grid.affine, *grid.also)]
    if not grid.is_oriented:
        remarks.append(
            "it does not say how it lies in the patient (qform_code and sform_code are 0), and "
            "programs differ in what they assume"
        )
    elif ways[0] != ways[1]:
        remarks.append(
            f"programs that prefer its sform see it as {ways[0]}, and those that prefer its qform "
            f"as {ways[1]}; here the sform counts"
        )
    return tuple(remarks)
