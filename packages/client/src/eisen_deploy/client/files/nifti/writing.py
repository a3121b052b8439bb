"""Arrays to NIfTI files, on the grid of the input.

Affine, codes, zooms and units are those of the input's header, field by field: descriptions and
extensions, which may name a patient, stay behind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from eisen_deploy.client.files.content import Array, Content, Grid
from eisen_deploy.client.files.errors import UnwritableFile
from eisen_deploy.client.files.extras import require, writing

#: What places the voxels in the patient (nifti1.h), but for the sizes in ``pixdim``.
_PLACE = (
    *("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units"),
)
_SCANNER = 1


def check_installed() -> None:
    """Raise :class:`MissingExtra` if nibabel is not installed."""
    require("nibabel", "nifti")


def check_grid(_: Grid) -> tuple[str, ...]:
    """Return what the user should know about a NIfTI file on this grid."""
    return ()


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
