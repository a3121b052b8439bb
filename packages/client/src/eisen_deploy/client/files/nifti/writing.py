"""Arrays to NIfTI files, on the grid of the input.

What places the voxels is taken from the input's header field by field, with the values on disk:
whatever a program makes of the input, it makes of the output. Descriptions, extensions and display
settings, which may name a patient or belong to the input's values, stay behind.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eisen_deploy.client.files.content import Array, Content, Grid, measure_voxel
from eisen_deploy.client.files.errors import UnwritableFile
from eisen_deploy.client.files.libraries import require, writing

from . import placement

if TYPE_CHECKING:
    from nibabel import Nifti1Header

#: What places the voxels in the patient (nifti1.h), but for the sizes in ``pixdim``.
_PLACE = (
    "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "dim_info",
    "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units",
)  # fmt: skip
_SCANNER = 1
_LONGEST = 2**15 - 1
_ITK = "programs built on ITK (3D Slicer, ITK-SNAP, nnU-Net)"
#: A departure, in voxels, that is worth a remark.
_NOTABLE = 0.01


def check_grid(grid: Grid) -> tuple[str, ...]:
    """Return what the user should know about a NIfTI file on this grid.

    :raises UnwritableFile: if it is too large for one.
    """
    if grid.header is not None:
        return ()  # the input has the same fields, and is seen at the same place
    if max(grid.shape) > _LONGEST:
        raise UnwritableFile(f"NIfTI has at most {_LONGEST} voxels along an axis")
    remark = _explain_itk(grid)
    return (remark,) if remark else ()


def write(path: Path, content: Content) -> None:
    """Write an array on its grid; channels become the last axis.

    bool becomes uint8, and float16 float32. 64-bit integers become int32 where that loses nothing,
    since few programs read them.

    :raises UnwritableFile: if there is no grid, or NIfTI has no such type.
    """
    nibabel = require("nibabel", "nifti")
    grid = content.grid
    if grid is None:
        raise UnwritableFile("NIfTI needs a geometry, and the values have none")
    array = _to_storable(content.value)
    array = np.moveaxis(array, 0, 3) if array.ndim == 4 else array
    with writing("a NIfTI file"):
        is_second = isinstance(grid.header, nibabel.Nifti2Header)
        form = nibabel.Nifti2Image if is_second else nibabel.Nifti1Image
        if grid.header is not None and grid.header["dim"][0] == 2 and array.ndim == 3:
            array = array[:, :, 0]
        header = form.header_class()
        header.set_data_dtype(array.dtype)
        header.set_data_shape(array.shape)
        image = form(array, None, header)
        if grid.header is None:
            _place(image.header, grid)
        else:
            _copy(image.header, grid.header)  # not before: nibabel repairs what it is given
        nibabel.save(image, path)


def _explain_itk(grid: Grid) -> str:
    """Say how programs built on ITK see a NIfTI file on a grid, unless they see it as it is."""
    if placement.is_taken_by_itk(grid.affine):
        return ""
    if not placement.is_rounded(grid.affine, grid.shape):
        return (
            f"its slices are sheared, as those of a tilted gantry, and {_ITK} refuse such a NIfTI "
            "file: write .dcm for them, or straighten the series first (dcm2niix does) and send "
            "that"
        )
    header = require("nibabel", "nifti").Nifti1Header()
    _place(header, grid)
    _, rigid, _ = placement.find_affines(header, grid.shape)
    off = placement.find_departure(grid.affine, rigid, grid.shape)
    if off <= _NOTABLE:
        return ""
    return (
        f"the numbers that place it are rounded, so that its axes are not at right angles; {_ITK} "
        f"put them right, and see it up to {off:.2g} voxels off"
    )


def _to_storable(array: Array) -> Array:
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


def _place(header: Nifti1Header, grid: Grid) -> None:
    """Place voxels where an affine has them: exactly by the sform, at right angles by the qform."""
    header.set_sform(grid.affine, _SCANNER)
    header["pixdim"][1:4] = measure_voxel(grid.affine)
    header.set_xyzt_units("mm")
    if placement.is_rounded(grid.affine, grid.shape):  # a quaternion has no shear
        header.set_qform(placement.make_rigid(grid.affine, grid.shape), _SCANNER)


def _copy(header: Nifti1Header, source: Nifti1Header) -> None:
    for name in _PLACE:
        header[name] = source[name]
    header["pixdim"][:4] = source["pixdim"][:4]
    if header["dim"][0] > 3 and header["dim"][4] == source["dim"][4]:  # the same times
        header["pixdim"][4] = source["pixdim"][4]
        header["toffset"] = source["toffset"]
