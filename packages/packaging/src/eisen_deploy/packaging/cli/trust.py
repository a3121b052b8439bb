"""Whether loading an archive can run code that its author wrote, and in which way.

It can, if anything in it is unpickled, is a TorchScript program, is another handler than ours, or
is a file that Python would import. What is left is an exported program that holds no pickles, and
no transforms: then nothing is unpickled, and of the archive's code only the handler runs. That
handler has to be the one that is installed here: what another one does, nobody here knows.

This reads what honest tools write. torch makes code of names and expressions in a ``.pt2`` file as
well, so a forged one can run code without any pickle: torch's own documentation of
``torch.export.load`` warns of files from strangers.
"""

from __future__ import annotations

import importlib.util
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eisen_deploy.packaging._shared.archive.allowed_values import ENTRY
from eisen_deploy.packaging._shared.archive.reader import Archive
from eisen_deploy.packaging._shared.archive.unpacked_folder import compute_sha256
from eisen_deploy.packaging._shared.archive.zips import Entry

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

HANDLER_FOLDER = "_eisen_serving/"
DILL_FOLDER = "dill/"

_IMPORTED = (".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".pth")
_CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
_SAMPLE_INPUTS = "data/sample_inputs/model.pt"


@dataclass(frozen=True)
class Loading:
    """What loading an archive can do.

    :param unpickled: the files that are unpickled.
    """

    can_run_code: bool
    reasons: list[str]
    unpickled: list[str]
    handler_is_installed_here: bool


def describe_loading(archive: Archive) -> Loading:
    """Return whether loading an archive can run code, and each reason."""
    model, transforms = archive.about.model, archive.about.transforms
    pickles = [model.file] if model.form == "eager" else []
    pickles += filter(None, (transforms["pre_processing"], transforms["post_processing"]))
    reasons = [f"{name} is unpickled, and what it calls runs" for name in pickles]
    reasons += [*_explain_model(archive), *_explain_handler(archive)]
    code = find_importable(archive)
    if code:
        more = f" and {len(code) - 3} more" if len(code) > 3 else ""
        reasons.append(f"Python may import {', '.join(code[:3])}{more}")
    return Loading(
        bool(reasons),
        reasons or ["nothing in it is unpickled"],
        pickles,
        is_handler_installed_here(archive),
    )


def find_importable(archive: Archive) -> list[str]:
    """Return the files that Python could import, other than those of the handler and of dill."""
    return [
        name
        for name in archive.entries
        if name.endswith(_IMPORTED) and not name.startswith((HANDLER_FOLDER, DILL_FOLDER))
    ]


def is_handler_installed_here(archive: Archive) -> bool:
    """Whether the archive's own handler is byte for byte the one that would be packed here."""
    spec = importlib.util.find_spec("eisen_deploy.serving")
    if spec is None or not spec.submodule_search_locations:
        return False
    runtime = Path(spec.submodule_search_locations[0]) / "runtime"
    packed = hash_folder(archive, HANDLER_FOLDER)
    found = {runtime / name.removeprefix(HANDLER_FOLDER): sha for name, sha in packed.items()}
    return bool(found) and all(
        path.is_file() and compute_sha256(path) == sha256 for path, sha256 in found.items()
    )


def hash_folder(archive: Archive, folder: str) -> dict[str, str]:
    """Return the SHA-256 of each file in a folder of an archive, as ``eisen.json`` has them."""
    files = archive.about.files
    return {name: listed.sha256 for name, listed in files.items() if name.startswith(folder)}


def _explain_model(archive: Archive) -> Iterator[str]:
    model = archive.about.model
    if model.form == "torchscript":
        yield f"{model.file} is a TorchScript program"
    elif model.form == "export":
        yield from (f"{model.file}: {why}" for why in _explain_exported(archive, model.file))


def _explain_handler(archive: Archive) -> Iterator[str]:
    entry, own = archive.about.entry, archive.about.handler
    if entry != ENTRY:
        yield f"the handler is {entry}, which checks no digest"
    elif own is not None:
        yield f"the handler is {own.class_name} of the archive"
    elif not is_handler_installed_here(archive):
        yield "its eisen-deploy-handler is not the one that is installed here"


def _explain_exported(archive: Archive, name: str) -> Iterator[str]:
    """Say which pickles torch would find in an exported program (torch 2.13, ``pt2_archive``)."""
    entry = archive.entries[name]
    try:
        with archive.path.open("rb") as file, zipfile.ZipFile(_Part(file, entry)) as program:
            yield from _explain_program(program)
    except (zipfile.BadZipFile, ValueError, KeyError, TypeError, AttributeError):
        yield "it is not what torch.export.save writes now"


def _explain_program(program: zipfile.ZipFile) -> Iterator[str]:
    files = {info.filename.partition("/")[2]: info for info in program.infolist()}
    if "archive_format" not in files:
        yield "it is of an older format, in which torch unpickles"
        return
    if _SAMPLE_INPUTS in files and files[_SAMPLE_INPUTS].file_size:
        yield "it holds sample inputs, which torch unpickles"
    for config in _CONFIGS:
        entries = json.loads(program.read(files[config]))["config"]
        pickled = [key for key, value in entries.items() if _is_pickled(value)]
        if pickled:
            yield f"torch unpickles {len(pickled)} of its weights and constants"


def _is_pickled(value: dict[str, Any]) -> bool:
    is_tensor = value["path_name"].startswith(("weight_", "tensor_"))
    return value["use_pickle"] is not False or not is_tensor


class _Part(io.RawIOBase):
    """The content of one stored file of an archive, as a file of its own."""

    def __init__(self, file: io.BufferedReader, entry: Entry) -> None:
        self._file, self._start, self._size = file, entry.offset, entry.size
        self._at = 0

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        self._file.seek(self._start + self._at)
        view = memoryview(buffer)
        data = self._file.read(min(len(view), max(0, self._size - self._at)))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)
