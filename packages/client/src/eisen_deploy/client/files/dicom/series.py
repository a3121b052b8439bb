"""The images of a folder that make its one series, and what lies beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from eisen_deploy.client.files.errors import UnreadableFile, UnsupportedFile

from . import folder, image_kinds, names, subfolders
from .headers import Slice
from .repeats import drop_copies

_COPY = "the same file as another one"
_EXAMPLES = 2


class Series(NamedTuple):
    """One series of a folder.

    :param slices: the images of the volume, in no order.
    :param beside: images that belong to the series and not to the volume.
    :param remarks: what the user should know: what was left out.
    """

    slices: list[Slice]
    beside: list[Slice]
    remarks: list[str]


def read_series(path: Path) -> Series:
    """Return the images of the one series in a folder.

    :raises UnreadableFile: if it holds no images, or files that may be images and cannot be read.
    :raises UnsupportedFile: if it holds several series, or more of its series in its folders.
    """
    found = folder.look_through(path)
    if not found.slices:
        raise UnreadableFile(_explain_none(path, found))
    kinds = [image_kinds.explain_beside(each.header) for each in found.slices]
    if all(kinds):  # nothing that they could lie beside: they are what the user means
        kinds = [""] * len(kinds)
    slices = [each for each, kind in zip(found.slices, kinds) if not kind]
    _check_one_series(slices)
    _check_one_patient(slices)
    aside = [(each, kind) for each, kind in zip(found.slices, kinds) if kind]
    slices, copies = drop_copies(slices)
    beside = [*aside, *((each, _COPY) for each in copies)]
    left_out = names.group([*found.left_out, *((each.name, kind) for each, kind in beside)])
    remarks = [f"left out: {names.list_groups(left_out)}"] if left_out else []
    remarks += subfolders.compare(path, found.folders, slices[0].header.get("SeriesInstanceUID"))
    uid = _series_of(slices[0])
    return Series(slices, [each for each, _ in aside if _series_of(each) == uid], remarks)


def _explain_none(path: Path, found: folder.Found) -> str:
    if found.folders:
        deeper = subfolders.find_series(path, found.folders)
        if deeper:
            return (
                "holds no DICOM images, only further folders: give the one of the series: "
                f"{names.name_some(deeper)}"
            )
    if not found.left_out:
        return "holds no DICOM images" + (", nor do its folders" if found.folders else "")
    return f"holds no DICOM images: {names.list_groups(names.group(found.left_out))}"


def _check_one_series(slices: Sequence[Slice]) -> None:
    groups = _grouped(slices, _series_of)
    if len(groups) > 1:
        raise UnsupportedFile(
            f"holds {len(groups)} series: {_listed(groups)}: give a folder with one of them"
        )


def _check_one_patient(slices: Sequence[Slice]) -> None:
    """Check that no image is of another patient; one without an ID may be of any."""
    groups = _grouped(slices, lambda each: str(each.header.get("PatientID") or "").strip())
    groups.pop("", None)
    if len(groups) > 1:
        raise UnsupportedFile(
            f"holds a series of {len(groups)} patients by their PatientID: {_listed(groups)}: "
            "give a folder with the images of one patient"
        )


def check_one_type(slices: Sequence[Slice]) -> None:
    """Check that images of one series mean the same.

    :raises UnsupportedFile: if they do not; it says how many there are of each type, and which.
    """
    groups = _grouped(slices, lambda each: image_kinds.describe_type(each.header))
    if len(groups) > 1:
        raise UnsupportedFile(
            f"holds a series with {len(groups)} types of images: {_listed(groups, told=True)}: "
            "give a folder with one of them"
        )


def _series_of(each: Slice) -> str:
    """Return what is the same in one series. Its UID should do, and has been seen twice."""
    return "/".join(str(each.header.get(f"{of}InstanceUID", "")) for of in ("Study", "Series"))


def _grouped(slices: Sequence[Slice], key: Callable[[Slice], str]) -> dict[str, list[Slice]]:
    groups: dict[str, list[Slice]] = {}
    for each in slices:
        groups.setdefault(key(each), []).append(each)
    return dict(sorted(groups.items(), key=lambda item: -len(item[1])))


def _listed(groups: Mapping[str, Sequence[Slice]], *, told: bool = False) -> str:
    """Return how many images each group has, with the names of some."""
    parts = []
    for key, slices in groups.items():
        some = names.name_some([each.name for each in slices], _EXAMPLES)
        kind = f" {key or 'of no type'}" if told else ""
        parts.append(f"{names.count_images(len(slices))}{kind} ({some})")
    return " and ".join(parts) if len(parts) < 3 else names.name_some(parts)
