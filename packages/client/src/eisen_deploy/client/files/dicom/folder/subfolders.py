"""What the folders in a series' folder hold: images of the same series must not be missed.

Media with few files in each folder, and some programs, spread one series over several.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from io import BufferedIOBase
from pathlib import Path

from eisen_deploy.client.files.dicom import recognition
from eisen_deploy.client.files.dicom.object_types import holds_image, is_image_class
from eisen_deploy.client.files.dicom.wording import name_some
from eisen_deploy.client.files.errors import UnreadableFile, UnsupportedFile
from eisen_deploy.client.files.libraries import reading, require

_MOST_FILES = 10_000
_COLUMNS = 0x00280011


def check_series(root: Path, folders: Sequence[Path], series: str | None) -> list[str]:
    """Return remarks about the folders in a folder with images.

    :param series: the UID of these images.
    :raises UnsupportedFile: if one of them holds images of the same series; it is named.
    """
    same, is_complete = _find_folders(root, folders, lambda uid: uid == str(series or ""))
    if same:
        raise UnsupportedFile(
            f"holds images of its series in other folders as well ({name_some(same)}): "
            "put them into one folder"
        )
    remarks = []
    if folders:
        shown = name_some([path.name for path in folders])
        remarks.append(f"left out: {shown} (folders without images of this series)")
    if not is_complete:
        remarks.append(f"of the files in its folders, only {_MOST_FILES} were looked at")
    return remarks


def find_series(root: Path, folders: Sequence[Path]) -> list[str]:
    """Return the names of the folders, at any depth, that hold images."""
    return _find_folders(root, folders, lambda uid: uid is not None)[0]


def _find_folders(
    root: Path, folders: Sequence[Path], is_meant: Callable[[str | None], bool]
) -> tuple[list[str], bool]:
    """Return the names of the folders with images that are meant, and whether that is all.

    :param is_meant: by the UID of an image's series; ``None`` where a file is not an image.
    """
    found: dict[str, None] = {}
    for count, path in enumerate(_walk(root, folders)):
        if count == _MOST_FILES:
            return list(found), False
        name = path.parent.relative_to(root).as_posix()
        if name not in found and is_meant(_find_uid(path)):
            found[name] = None
    return list(found), True


def _walk(root: Path, folders: Sequence[Path]) -> Iterator[Path]:
    """Yield the files of folders in a folder, at any depth; links may lead back."""
    seen = {root.resolve()}
    for folder in folders:
        for parent, inner, files in os.walk(folder, onerror=_refuse, followlinks=True):
            here = Path(parent).resolve()
            if here in seen:
                inner.clear()
                continue
            seen.add(here)
            inner.sort()
            yield from (path for name in sorted(files) if (path := Path(parent, name)).is_file())


def _refuse(error: OSError) -> None:
    name = Path(error.filename).name
    raise UnreadableFile(f"holds a folder that cannot be opened ({name})") from error


def _find_uid(path: Path) -> str | None:
    """Return the series of an image, be it compressed by gzip; ``None`` if it is not one."""
    with suppress(OSError, UnreadableFile):
        start = recognition.read_start(path)
        if recognition.begins_dicom(start):
            with path.open("rb") as file:
                return _read_uid(file)
        if recognition.begins_dicom(recognition.unpack_start(path, start)):
            with gzip.open(path) as unpacked:
                return _read_uid(unpacked)
    return None


def _read_uid(file: BufferedIOBase) -> str | None:
    filereader = require("pydicom.filereader", "dicom")
    with reading("DICOM"):
        header = filereader.read_partial(file, lambda tag, *_: tag > _COLUMNS, force=True)
        may_be_one = holds_image(header) or is_image_class(header.get("SOPClassUID"))  # or cut off
        return str(header.get("SeriesInstanceUID", "")) if may_be_one else None
