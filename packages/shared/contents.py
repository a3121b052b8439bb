"""``eisen.json``: what an archive holds, and the digest of every file in it.

The file is canonical JSON, so each of its bytes is determined by what it says::

    {
      "format": 1,
      "model": {"name": "seg", "version": "1.0", "form": "eager", "file": "model.pt"},
      "transforms": {"pre_processing": "pre_process_tform.pkl", "post_processing": null},
      "handler": null,
      "packed_with": {"python": "3.11.7", "torch": "2.13.0", ...},
      "files": {"MAR-INF/MANIFEST.json": {"sha256": "...", "size": 224}, ...},
      "digest": "..."
    }

``form`` is ``eager`` (a pickled module), ``torchscript`` or ``export``; a transform is the name of
its file or null for identity; ``handler`` is null or ``{"file", "class"}`` of a subclass of
``EisenServingHandler``. ``files`` lists every file but this one; ``digest`` is the SHA-256 of this
file's canonical text without it, and so stands for the whole archive.

The digests find damage and mix-ups. They are no signature: who can rewrite an archive can
rewrite them too.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from . import strictjson
from .errors import ContractError, CorruptArchive

FILE_NAME = "eisen.json"
FORMAT = 1
FORMS = ("eager", "torchscript", "export")

_PIECE = 2**20


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size (bytes) and SHA-256 of each file below a folder, by its POSIX path."""
    return {
        name: {"sha256": _sha256(folder / name), "size": (folder / name).stat().st_size}
        for name in sorted(_walk(folder))
        if name != FILE_NAME
    }


def write(folder: Path, about: Mapping[str, Any]) -> str:
    """Write ``eisen.json`` for all that lies in a folder, and return the archive's digest.

    :param about: every key of the file but ``format``, ``files`` and ``digest``.
    """
    contents = {"format": FORMAT, **about, "files": describe_files(folder)}
    contents["digest"] = _digest(contents)
    (folder / FILE_NAME).write_bytes(_canonical(contents))
    return str(contents["digest"])


def read(folder: Path) -> dict[str, Any]:
    """Read ``eisen.json`` and check it against itself; the other files are not touched.

    :raises CorruptArchive: if it is missing, damaged, or of a format that is not known here.
    """
    path = folder / FILE_NAME
    try:
        raw = path.read_bytes()
        contents = strictjson.loads_object(raw, FILE_NAME)
    except OSError as error:
        raise CorruptArchive(f"{FILE_NAME} cannot be read: {error.strerror}") from None
    except ContractError as error:
        raise CorruptArchive(error.problems) from None
    if contents.get("digest") != _digest(contents) or raw != _canonical(contents):
        raise CorruptArchive(f"{FILE_NAME} was changed: its digest is not that of its text")
    if contents.get("format") != FORMAT:
        raise CorruptArchive(
            f"{FILE_NAME} has format {contents.get('format')!r}, known here is {FORMAT}: "
            "use a handler as new as the packaging"
        )
    if not _lists_files(contents.get("files")):
        raise CorruptArchive(f"{FILE_NAME} does not list size and sha256 of each file")
    if not _tells_payload(contents):
        raise CorruptArchive(
            f"{FILE_NAME} does not tell name, version, form and file of a model, two transforms, "
            "a handler and what packed them, each with a file of the list"
        )
    return contents


def verify(folder: Path, *, later: Collection[str] = ()) -> dict[str, Any]:
    """Check every file of an unpacked archive and return what ``eisen.json`` says.

    Nothing is imported or unpickled. Byte code is let be where Python, before it uses it, compares
    it with the source that is checked here: so it does with all that it writes by itself.

    :param later: files whose content a later call will check, before they are read.
    :raises CorruptArchive: with each file that is missing, added or changed.
    """
    contents = read(folder)
    listed = contents["files"]
    present = set(_walk(folder)) - {FILE_NAME}
    problems = [f"{name} is missing" for name in sorted(set(listed) - present)]
    problems += [f"{name} does not belong to the archive" for name in sorted(present - set(listed))]
    for name in sorted((present & set(listed)) - set(later)):
        problems += _compare(folder / name, name, listed[name])
    if problems:
        raise CorruptArchive(problems)
    return contents


def _lists_files(files: Any) -> bool:
    return isinstance(files, dict) and all(
        isinstance(listed, dict) and {"sha256", "size"} <= listed.keys()
        for listed in files.values()
    )


def _tells_payload(contents: Mapping[str, Any]) -> bool:
    model, transforms, handler, packed_with = (
        contents.get(key, "missing") for key in ("model", "transforms", "handler", "packed_with")
    )
    return (
        _has_texts(model, ("name", "version", "form", "file"))
        and model["form"] in FORMS
        and isinstance(transforms, dict)
        and {"pre_processing", "post_processing"} == transforms.keys()
        and (handler is None or _has_texts(handler, ("file", "class")))
        and isinstance(packed_with, dict)
        and _payload(model, transforms, handler) <= contents["files"].keys()
    )


def _has_texts(value: Any, keys: Iterable[str]) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(key), str) for key in keys)


def _payload(model: Any, transforms: Any, handler: Any) -> set[Any]:
    named = [model["file"], *transforms.values(), handler and handler["file"]]
    return {str(name) for name in named if name is not None}


def _compare(path: Path, name: str, listed: Mapping[str, Any]) -> list[str]:
    size = path.lstat().st_size
    if path.is_symlink():
        return [f"{name} is a symbolic link"]
    if size != listed["size"]:
        return [f"{name} has {size} bytes, {listed['size']} were packed"]
    if _sha256(path) != listed["sha256"]:
        return [f"{name} was changed: its SHA-256 is not the one that was packed"]
    return []


def _walk(folder: Path) -> Iterator[str]:
    for base, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(base) / name).is_symlink()]
        for name in files + links:
            path = Path(base) / name
            if not _is_compared_by_python(path):
                yield path.relative_to(folder).as_posix()


def _is_compared_by_python(path: Path) -> bool:
    """Whether a file is byte code that is used only if it has the time and size of its source."""
    if path.parent.name != "__pycache__" or path.suffix != ".pyc" or path.is_symlink():
        return False
    with path.open("rb") as file:
        return file.read(8)[4:] == bytes(4)  # PEP 552: the flags; 0 means by time and size


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _digest(contents: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in contents.items() if key != "digest"}
    return hashlib.sha256(_canonical(rest)).hexdigest()


def _canonical(contents: Mapping[str, Any]) -> bytes:
    text = json.dumps(contents, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode("utf-8")
