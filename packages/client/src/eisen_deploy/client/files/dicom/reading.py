"""Reading DICOM images: a folder with one series, or one file; by pydicom.

A series becomes a volume with the axes (i, j, k): i is the column and j the row of an image, and k
counts the images along the normal of their plane, whatever their files and numbers are called. The
affine takes that to the patient as NIfTI has it, so a NIfTI file of the same series has the same
voxels at the same places.

An image without a position in the patient (X-ray, ultrasound, photograph) is a picture: its axes
are rows and columns, as those of a PNG file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from eisen_deploy.client.files.content import Content, Grid
from eisen_deploy.client.files.errors import UnreadableFile, UnsupportedFile
from eisen_deploy.client.files.libraries import reading, require

from .folder.contents import NOT_DICOM, Refusal, examine
from .folder.series import check_one_type, read_series
from .headers import Slice
from .object_types import is_mosaic
from .volume import pixels
from .volume.completeness import remark_missing
from .volume.geometry import ASSUMED, find_thickness, place
from .wording import name_some, prefix_errors

_CONVERT = "convert it to NIfTI, with dcm2niix for example"


def read(path: Path, monochrome1: str | None = None) -> Content:
    """Read a folder with one series, or one file; values are those after the rescale slope.

    Each file of a folder is an image of the volume, is named in a remark, or is the reason, with
    its name, why the folder is refused.

    :param monochrome1: ``keep`` or ``invert`` the values of images in which small ones are bright.
    :raises UnsupportedFile: if the images are not one series of parallel, evenly spaced slices.
    """
    require("pydicom", "dicom")
    with reading("DICOM"):  # all of it: pydicom parses a value when it is looked at
        if not path.is_dir():
            return _read_slices([_examine_single(path)], monochrome1)
        series = read_series(path)
        content = _read_slices(series.slices, monochrome1)
        ordered = content.grid.slices if content.grid else [series.slices[0].header]
        missing = remark_missing(ordered, [each.header for each in series.beside])
        return replace(content, remarks=(*series.remarks, *content.remarks, *missing))


def _read_slices(slices: Sequence[Slice], monochrome1: str | None) -> Content:
    _check_frames(slices)
    check_one_type(slices)
    invert = pixels.check_values(slices, monochrome1)
    if len(slices) == 1 and not slices[0].header.get("ImagePositionPatient"):
        array = pixels.read(slices, invert)[0]
        return Content(np.moveaxis(array, 2, 0) if array.ndim == 3 else array, 2)
    return _read_volume(slices, invert)


def _read_volume(slices: Sequence[Slice], invert: bool) -> Content:
    if any(int(each.header.get("SamplesPerPixel", 1)) != 1 for each in slices):
        raise UnsupportedFile("is a series of images in colour")
    ordered, affine = place(slices)
    array = pixels.read(ordered, invert).transpose(2, 1, 0)
    shape = (array.shape[0], array.shape[1], array.shape[2])
    grid = Grid(shape, affine, slices=[each.header for each in ordered])
    if len(ordered) > 1 or find_thickness(ordered[0]):
        return Content(array, 3, grid)
    remark = f"it does not say how thick it is (SliceThickness): {ASSUMED:g} mm is assumed"
    return Content(array, 3, grid, (remark,))


def _examine_single(path: Path) -> Slice:
    found = examine(path)
    if isinstance(found, Slice):
        return found
    if isinstance(found, Refusal):
        raise UnreadableFile(f"is {found.state}: {found.advice}")
    if not found.is_dicom:
        also = "" if found.reason == NOT_DICOM else f", and {NOT_DICOM}"
        raise UnreadableFile(f"is {found.reason}{also}")
    raise UnsupportedFile(f"is DICOM, but not an image: {found.reason}")


def _check_frames(slices: Sequence[Slice]) -> None:
    """Check that each file holds one slice."""
    several = [each.name for each in slices if _has_frames(each)]
    if several:  # some of Siemens are still called a mosaic
        raise UnsupportedFile(
            f"{_begin(several)} a multi-frame object: {_CONVERT}, or to one file for each image"
        )
    mosaics = [each.name for each in slices if is_mosaic(each.header)]
    if mosaics:
        raise UnsupportedFile(
            f"{_begin(mosaics)} a Siemens mosaic or a UIH grid, all slices as tiles of one "
            f"image: {_CONVERT}"
        )


def _begin(found: Sequence[str]) -> str:
    return f"{name_some(found)}: is" if any(found) else "is"


def _has_frames(each: Slice) -> bool:
    with prefix_errors(each.name), reading("DICOM"):
        frames = int(each.header.get("NumberOfFrames") or 1)
    return frames > 1 or "SharedFunctionalGroupsSequence" in each.header
