"""NIfTI: ``.nii`` and ``.nii.gz``, by nibabel.

The axes (i, j, k) are those on disk. What comes after them, such as time, becomes the channels, and
stands first in the array. Written files get affine, codes, zooms and units of the input's header,
field by field: descriptions and extensions, which may name a patient, stay behind.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np

from .content import Affine, Array, Content, Grid
from .errors import UnsupportedFile, UnwritableFile
from .extras import reading, require, writing

#: What places the voxels in the patient (nifti1.h), but for the sizes in ``pixdim``.
_PLACE = (
    *("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units"),
)
_SCANNER = 1


def check_installed() -> None:
    """Raise :class:`MissingExtra` if nibabel is not installed."""
    require("nibabel", "nifti")


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


def write(path: Path, content: Content) -> None:
    """Write an array on its grid; channels become the last axis.

    bool becomes uint8, and float16 float32. 64-bit integers become int32 where that loses nothing,
    since few programs read them.

    :raises UnwritableFile: if there is no grid, or NIfTI has no such type.
    """
    nibabel = require("nibabel", "nifti")
    grid = content.grid
    if grid is None:
        raise UnwritableFile("NIfTI needs a geometry, and there is none")
    array = _storable(content.value)
    array = np.moveaxis(array, 0, 3) if array.ndim == 4 else array
    with writing("a NIfTI file"):
        kind = nibabel.Nifti1Image
        if isinstance(grid.header, nibabel.Nifti2Header):
            kind = nibabel.Nifti2Image
        if grid.header is not None and grid.header["dim"][0] == 2 and array.ndim == 3:
            array = array[:, :, 0]
        header = kind.header_class()
        header.set_data_dtype(array.dtype)
        header.set_data_shape(array.shape)
        _place(header, grid)
        nibabel.save(kind(array, None, header), path)


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


def _storable(array: Array) -> Array:
    dtype = array.dtype
    if dtype.kind == "b":
        return array.astype(np.uint8)
    if dtype == np.float16:
        return array.astype(np.float32)
    if dtype.kind in "iu" and dtype.itemsize == 8:
        fits = np.iinfo(np.int32)
        if not array.size or (array.min() >= fits.min and array.max() <= fits.max):
            return array.astype(np.int32)
    if dtype.kind not in "iufc":
        raise UnwritableFile(f"NIfTI does not hold {dtype}")
    return array


def _place(header: Any, grid: Grid) -> None:
    if grid.header is None:
        header.set_sform(grid.affine, _SCANNER)
        rows = grid.affine[:3, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0)
        if np.allclose(rows.T @ rows, np.eye(3), atol=1e-4):  # a quaternion has no shear
            header.set_qform(grid.affine, _SCANNER)
        header.set_xyzt_units("mm")
        return
    for name in _PLACE:
        header[name] = grid.header[name]
    header["pixdim"][:4] = grid.header["pixdim"][:4]
