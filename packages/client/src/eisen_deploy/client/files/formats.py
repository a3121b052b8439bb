"""Which format a path asks for, and what reads and writes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from eisen_deploy.client._predictions import ModelIdentity

from . import numpy_files, text_files
from .content import Content, Grid
from .dicom import reading as dicom_reading
from .dicom.recognition import is_dicom
from .dicom.segmentation import writing as segmentation
from .errors import GeometryMismatch, UnreadableFile, UnsupportedFile, UnwritableFile
from .libraries import require
from .nifti import reading as nifti_reading
from .nifti import writing as nifti_writing
from .png import reading as png_reading
from .png import writing as png_writing
from .segments import Segment
from .signatures import identify

_FORMATS = (".npy", ".npz", ".png", ".nii", ".nii.gz", ".dcm", ".json", ".txt")
_DICOM = ".dcm"
_NIFTI = (".nii", ".nii.gz")

#: Formats with a geometry; they are written of a :class:`Content` with a grid.
WITH_GEOMETRY = (*_NIFTI, _DICOM)
#: Formats that hold an image.
IMAGES = (*WITH_GEOMETRY, ".png")

_READERS: Mapping[str, Callable[[Path], Content]] = {
    ".npy": numpy_files.read_npy,
    ".png": png_reading.read,
    **dict.fromkeys(_NIFTI, nifti_reading.read),
    ".json": text_files.read_json,
    ".txt": text_files.read_txt,
}
#: What writes those that need no grid.
_WRITERS: Mapping[str, Callable[[BinaryIO, Any], None]] = {
    ".npy": numpy_files.write_npy,
    ".npz": numpy_files.write_npz,
    ".png": png_writing.write,
    ".json": text_files.write_json,
    ".txt": text_files.write_txt,
}
#: The library that writes a format, and the extra that brings it.
_LIBRARIES = {
    _DICOM: ("highdicom", "dicom"),
    ".png": ("PIL.PngImagePlugin", "png"),
    **dict.fromkeys(_NIFTI, ("nibabel", "nifti")),
}


def find_format(path: Path) -> str:
    """Return the end of a path that says what it is; nothing if it says nothing."""
    name = path.name.lower()
    return next((each for each in reversed(_FORMATS) if name.endswith(each)), "")


def read(path: Path | str, name: str = "", *, monochrome1: str | None = None) -> Content:
    """Read a file, or a folder with one DICOM series.

    A file whose name does not say what it is is looked into: it may be DICOM.

    :param name: of the array in an ``.npz`` file, if there are several.
    :param monochrome1: ``keep`` or ``invert`` the values of DICOM images in which small values are
        bright; they are refused if it is ``None``.
    :raises FileError: if it cannot be read.
    """
    try:
        return _read(Path(path), name, monochrome1)
    except OSError as error:
        raise UnreadableFile(f"cannot be read: {error.strerror}") from error


def _read(path: Path, name: str, monochrome1: str | None) -> Content:
    if not path.exists():
        raise UnreadableFile("there is no such file")
    ending = find_format(path)
    if path.is_dir() or ending == _DICOM or (not ending and is_dicom(path)):
        return dicom_reading.read(path, monochrome1)
    if ending == ".npz":
        return numpy_files.pick(numpy_files.read_npz(path), name)
    if not ending:
        found = identify(path)
        what = f"is {found}, and" if found else "is"
        known = ", ".join(_FORMATS)
        raise UnsupportedFile(f"{what} not in a format that is read here: {known}, DICOM")
    return _READERS[ending](path)


def check_writable(path: Path) -> str:
    """Return the format that a path asks for, if it can be written here.

    :raises FileError: if there is no such format, or a library for it is missing.
    """
    ending = find_format(path)
    if not ending:
        raise UnwritableFile(f"its name must end in one of {', '.join(_FORMATS)}")
    if ending in _LIBRARIES:
        require(*_LIBRARIES[ending])
    return ending


def check_grid(path: Path | str, grid: Grid | None) -> tuple[str, ...]:
    """Check, before there is an array, that a file can be written on the grid of an input.

    :param path: of the file; formats without a geometry need no grid.
    :returns: what the user should know about such a file.
    :raises FileError: if it cannot; the message says what the input lacks.
    """
    ending = find_format(Path(path))
    if ending not in WITH_GEOMETRY:
        return ()
    if grid is None:
        raise GeometryMismatch("the input has no geometry that could be put on it: use .npy")
    return segmentation.check_grid(grid) if ending == _DICOM else nifti_writing.check_grid(grid)


def save(
    path: Path | str,
    content: Content,
    *,
    segments: Sequence[Segment] = (),
    description: str = "",
    algorithm: tuple[str | None, ...] = (),
) -> tuple[str, ...]:
    """Write a file in the format that its name says; one that is there is replaced.

    :param content: the value, with its grid for NIfTI and DICOM.
    :param segments: what the labels of a DICOM segmentation mean.
    :param description: of the DICOM series that is made.
    :param algorithm: what made it, for DICOM: name, version, and digest of the archive, as the
        attribute ``model`` of a prediction holds them.
    :returns: what the user should know about the file.
    :raises FileError: if it cannot be written.
    """
    path, value = Path(path), content.value
    ending = check_writable(path)
    if ending in IMAGES and not isinstance(value, np.ndarray):
        raise UnwritableFile(f"{type(value).__name__} is not an image: use .json")
    if ending == ".npz" and not isinstance(value, dict):
        value = {"value": value}
    try:
        if ending == _DICOM:
            model = ModelIdentity(*algorithm)
            return segmentation.write(path, content, segments, description, model)
        if ending in _NIFTI:
            nifti_writing.write(path, content)
        else:
            with path.open("wb") as file:
                _WRITERS[ending](file, value)
    except OSError as error:
        raise UnwritableFile(f"cannot be written: {error.strerror}") from error
    return text_files.list_json_remarks(value) if ending == ".json" else ()
