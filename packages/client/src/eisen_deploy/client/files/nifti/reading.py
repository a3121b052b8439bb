"""NIfTI files to arrays.

The axes (i, j, k) are those on disk. What comes after them, such as time, becomes the channels, and
stands first in the array.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np

from eisen_deploy.client.files.content import Affine, Array, Content, Grid
from eisen_deploy.client.files.errors import UnsupportedFile
from eisen_deploy.client.files.extras import reading, require


def read(path: Path) -> Content:
    """Read a volume; several volumes in one file become channels.

    Values are those that the header's scaling gives, float32 for 8 and 16 bits on disk.
    """
    nibabel = require("nibabel", "nifti")
    with reading("a NIfTI file"):
        image = _load(nibabel, path)
    if not isinstance(image, nibabel.Nifti1Image) or not hasattr(image.header, "get_sform"):
        raise UnsupportedFile("is an image, and not a NIfTI volume")
    grid = Grid(_spatial(image.shape), _affine(image), image.header)
    with reading("a NIfTI file"):
        array = _values(image)
    if array.dtype.kind not in "biufc":
        raise UnsupportedFile("holds colours, and not one number for each voxel")
    channels = tuple(size for size in image.shape[3:] if size != 1)
    array = array.reshape(grid.shape + channels)
    return Content(np.moveaxis(array, 3, 0) if channels else array, 3, grid)


def _load(nibabel: Any, path: Path) -> Any:
    if path.suffix.lower() != ".gz":
        return nibabel.load(path)
    with gzip.open(path) as file:
        raw = file.read()  # to the end, where the checksum is: nibabel stops before it
    newer = nibabel.Nifti2Header.may_contain_header(raw[:540])
    return (nibabel.Nifti2Image if newer else nibabel.Nifti1Image).from_bytes(raw)


def _values(image: Any) -> Array:
    proxy = image.dataobj
    small = image.header.get_data_dtype().itemsize <= 2
    if small and (proxy.slope, proxy.inter) != (1, 0):
        scaled: Array = image.get_fdata(dtype=np.float32, caching="unchanged")
        return scaled
    return np.asanyarray(proxy)


def _spatial(shape: tuple[int, ...]) -> tuple[int, int, int]:
    further = [size for size in shape[3:] if size != 1]
    if len(shape) < 2 or len(further) > 1 or 0 in shape:
        raise UnsupportedFile(f"has shape {list(shape)}, and is no volume nor a series of volumes")
    sizes = (*shape[:3], 1)
    return sizes[0], sizes[1], sizes[2]


def _affine(image: Any) -> Affine:
    affine = np.array(image.affine, float)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise UnsupportedFile("has an affine that places all voxels in a plane, or nowhere")
    return affine
