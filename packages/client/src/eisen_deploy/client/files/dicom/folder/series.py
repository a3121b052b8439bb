"""The images of a folder that make its one series, and what lies beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from eisen_deploy.client.files.dicom import object_types, wording
from eisen_deploy.client.files.dicom.headers import Slice
from eisen_deploy.client.files.errors import UnreadableFile, UnsupportedFile

from . import contents, subfolders

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
    found = contents.look_through(path)
    if not found.slices:
        raise UnreadableFile(_explain_none(path, found))
    reasons = [object_types.explain_beside(each.header) for each in found.slices]
    if all(reasons):  # nothing that they could lie beside: they are what the user means
        reasons = [""] * len(reasons)
    slices = [each for each, reason in zip(found.slices, reasons) if not reason]
    aside = [(each, reason) for each, reason in zip(found.slices, reasons) if reason]
    _check_one(_group(slices, _identify_series), "{} series")
    patients = _group(slices, lambda each: str(each.header.get("PatientID") or "").strip())
    patients.pop("", None)  # an image without an ID may be of any
    several = "a series of {} patients by their PatientID"
    _check_one(patients, several, "the images of one patient")
    slices, copies = _drop_copies(slices)
    beside = [*aside, *((each, _COPY) for each in copies)]
    left_out = [*found.left_out, *((each.name, reason) for each, reason in beside)]
    remarks = [f"left out: {wording.list_reasons(left_out)}"] if left_out else []
    remarks += subfolders.check_series(
        path, found.folders, slices[0].header.get("SeriesInstanceUID")
    )
    uid = _identify_series(slices[0])
    return Series(slices, [each for each, _ in aside if _identify_series(each) == uid], remarks)


def check_one_type(slices: Sequence[Slice]) -> None:
    """Check that images of one series mean the same.

    :raises UnsupportedFile: if they do not; it says how many there are of each type, and which.
    """
    groups = _group(slices, lambda each: object_types.describe_type(each.header))
    _check_one(groups, "a series with {} types of images", shows_keys=True)


def _explain_none(path: Path, found: contents.Found) -> str:
    deeper = subfolders.find_series(path, found.folders)
    if deeper:
        named = wording.name_some(deeper)
        return f"holds no DICOM images, only further folders: give the one of the series: {named}"
    if not found.left_out:
        return "holds no DICOM images" + (", nor do its folders" if found.folders else "")
    return f"holds no DICOM images: {wording.list_reasons(found.left_out)}"


def _check_one(
    groups: Mapping[str, Sequence[Slice]],
    several: str,
    wanted: str = "one of them",
    *,
    shows_keys: bool = False,
) -> None:
    """Check that images are of one group; if not, say how many each has, with the names of some."""
    if len(groups) < 2:
        return
    parts = []
    for key, slices in groups.items():
        shown = f" {key or 'of no type'}" if shows_keys else ""
        names = wording.name_images(slices, _EXAMPLES)
        parts.append(f"{wording.count_images(len(slices))}{shown} ({names})")
    listed = " and ".join(parts) if len(parts) < 3 else wording.name_some(parts)
    raise UnsupportedFile(
        f"holds {several.format(len(groups))}: {listed}: give a folder with {wanted}"
    )


def _drop_copies(slices: Sequence[Slice]) -> tuple[list[Slice], list[Slice]]:
    """Return images without those whose files are copies of others, byte for byte, and the copies.

    Files are only compared if they say that they hold the same image.
    """
    uids = [str(each.header.get("SOPInstanceUID", "")) for each in slices]
    counts = Counter(uids)
    kept: dict[bytes | str, Slice] = {}
    copies = []
    for each, uid in zip(slices, uids):
        content = sha256(each.path.read_bytes()).digest() if counts[uid] > 1 else each.name
        if kept.setdefault(content, each) is not each:
            copies.append(each)
    return list(kept.values()), copies


def _identify_series(each: Slice) -> str:
    """Return what is the same in one series. Its UID should do, and has been seen twice."""
    return "/".join(str(each.header.get(f"{of}InstanceUID", "")) for of in ("Study", "Series"))


def _group(slices: Sequence[Slice], key: Callable[[Slice], str]) -> dict[str, list[Slice]]:
    groups: dict[str, list[Slice]] = {}
    for each in slices:
        groups.setdefault(key(each), []).append(each)
    return dict(sorted(groups.items(), key=lambda item: -len(item[1])))
