"""Which kind of file a path is, and what reads and writes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eisen_deploy.client._predictions import ModelIdentity

from . import npy, png, text
from .content import Content, Grid
from .dicom import images, segmentation
from .dicom.recognition import is_dicom
from .errors import GeometryMismatch, UnreadableFile, UnsupportedFile, UnwritableFile
from .nifti import reading as nifti_reading
from .nifti import writing as nifti_writing
from .segments import Segment
from .signatures import identify

_KINDS = (".npy", ".npz", ".png", ".nii", ".nii.gz", ".dcm", ".json", ".txt")
_DICOM = ".dcm"

#: Kinds whose files have a geometry; they are written of a :class:`Content` with a grid.
PLACED = (".nii", ".nii.gz", _DICOM)
#: Kinds whose files hold an image.
IMAGES = (*PLACED, ".png")

_READERS: Mapping[str, Callable[[Path], Content]] = {
    ".npy": npy.read_npy,
    ".png": png.read,
    ".nii": nifti_reading.read,
    ".nii.gz": nifti_reading.read,
    ".json": text.read_json,
    ".txt": text.read_txt,
}


def kind_of(path: Path) -> str:
    """Return the end of a path that says what it is; nothing if it says nothing."""
    name = path.name.lower()
    return next((kind for kind in reversed(_KINDS) if name.endswith(kind)), "")


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
    kind = kind_of(path)
    if path.is_dir() or kind == _DICOM or (not kind and is_dicom(path)):
        return images.read(path, monochrome1)
    if kind == ".npz":
        return npy.pick(npy.read_npz(path), name)
    if not kind:
        found = identify(path)
        what = f"is {found}, and" if found else "is"
        raise UnsupportedFile(f"{what} of no kind that is read here: {', '.join(_KINDS)}, DICOM")
    return _READERS[kind](path)


def check_writable(path: Path) -> str:
    """Return the kind of file that a path asks for, if it can be written here.

    :raises FileError: if it is of no kind, or a library for it is missing.
    """
    kind = kind_of(path)
    if not kind:
        raise UnwritableFile(f"its name must end in one of {', '.join(_KINDS)}")
    checks = {_DICOM: segmentation.check_installed, ".png": png.check_installed}
    checks.update({".nii": nifti_writing.check_installed, ".nii.gz": nifti_writing.check_installed})
    if kind in checks:
        checks[kind]()
    return kind


def check_grid(path: Path | str, grid: Grid | None) -> tuple[str, ...]:
    """Check, before there is an array, that a file can be written on the grid of an input.

    :param path: of the file; kinds without a geometry need no grid.
    :returns: what the user should know about such a file.
    :raises FileError: if it cannot; the message says what the input lacks.
    """
    kind = kind_of(Path(path))
    if kind not in PLACED:
        return ()
    if grid is None:
        raise GeometryMismatch("the input has no geometry that could be put on it: use .npy")
    return segmentation.check_grid(grid) if kind == _DICOM else nifti_writing.check_grid(grid)


def save(
    path: Path | str,
    content: Content,
    *,
    segments: Sequence[Segment] = (),
    description: str = "",
    algorithm: tuple[str | None, ...] = (),
) -> tuple[str, ...]:
    """Write a file of the kind that its name says; one that is there is replaced.

    :param content: the value, with its grid for NIfTI and DICOM.
    :param segments: what the labels of a DICOM segmentation mean.
    :param description: of the DICOM series that is made.
    :param algorithm: what made it, for DICOM: name, version, and digest of the archive, as the
        attribute ``model`` of a prediction holds them.
    :returns: what the user should know about the file.
    :raises FileError: if it cannot be written.
    """
    path = Path(path)
    kind = check_writable(path)
    if kind in IMAGES and not isinstance(content.value, np.ndarray):
        raise UnwritableFile(f"{type(content.value).__name__} is no image: use .json")
    try:
        if kind == _DICOM:
            model = ModelIdentity(*algorithm)
            return segmentation.write(path, content, segments, description, model)
        if kind in (".nii", ".nii.gz"):
            nifti_writing.write(path, content)
        else:
            with path.open("wb") as file:
                _write(kind, file, content)
    except OSError as error:
        raise UnwritableFile(f"cannot be written: {error.strerror}") from error
    return text.remarks_on_json(content.value) if kind == ".json" else ()


def _write(kind: str, file: Any, content: Content) -> None:
    if kind == ".png":
        png.write(file, content)
    elif kind == ".npz":
        npy.write_npz(
            file, content.value if isinstance(content.value, dict) else {"value": content.value}
        )
    else:
        writers = {".npy": npy.write_npy, ".json": text.write_json, ".txt": text.write_txt}
        writers[kind](file, content.value)
