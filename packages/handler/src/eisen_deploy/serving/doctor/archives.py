"""The archives of a model store, as far as the server's configuration depends on them."""

from __future__ import annotations

import json
import math
import re
import tempfile
import zipfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eisen_deploy.serving.baked._shared import contents, eisenjson, zips
from eisen_deploy.serving.baked._shared.errors import ContractError
from eisen_deploy.serving.baked._shared.metadata import Field, Metadata
from eisen_deploy.serving.baked._shared.serving_options import FILE_NAME as OPTIONS

_LIMIT = 2**24
_MANIFEST = "MAR-INF/MANIFEST.json"
_SCALAR = re.compile(r"([A-Za-z]\w*):[ \t]*[\"']?([^\s\"'#]*)")
# TorchServe's own archives say a model's name by the file's, with what is no word replaced.
_NO_WORD = re.compile(r"\W|^_")


@dataclass(frozen=True)
class Archive:
    """One archive.

    :param about: its ``eisen.json``; ``None`` if Eisen-Deploy has not packed it.
    :param options: the plain values of its ``model-config.yaml``; ``None`` if it has none.
    :param problems: why it is not sound.
    :param request: bytes of the largest request body that it is known to take; 0 where none is.
    :param reply: likewise.
    """

    path: Path
    size: int
    name: str
    version: str
    about: Mapping[str, Any] | None = None
    options: Mapping[str, Any] | None = None
    problems: tuple[str, ...] = ()
    request: int = 0
    reply: int = 0
    requirements: tuple[str, ...] = field(default=())

    @property
    def model_size(self) -> int:
        """Bytes of the model's file; of the archive where it is not known."""
        if self.about is None:
            return self.size
        return int(self.about["files"][self.about["model"]["file"]]["size"])

    @property
    def wants_gpu(self) -> bool:
        """Whether it asks for a GPU."""
        return (self.options or {}).get("deviceType") == "gpu"

    def option(self, name: str, models: Mapping[str, Any]) -> int | None:
        """Return an option that is an integer, of this archive or of the property ``models``."""
        given = models.get(self.name, {})
        versions = given.get(self.version, {}) if isinstance(given, dict) else {}
        value = (self.options or {}).get(name)
        if value is None and isinstance(versions, dict):
            value = versions.get(name)
        try:
            return None if value is None else int(value)
        except (TypeError, ValueError):
            return None


def find(store: Path, models: Collection[str]) -> tuple[list[Path], list[str]]:
    """Return the archives that a server loads, and the names among ``models`` that there are not.

    :param models: as ``--models`` and ``load_models`` take them; none of them stands for all
        archives of the store, which can be registered.
    :raises OSError: if the store cannot be listed.
    """
    files = [path.rpartition("=")[2] for path in models]
    if not files or any(name.upper() == "ALL" for name in files):
        return sorted(p for p in store.iterdir() if p.suffix == ".mar" and p.is_file()), []
    local = [name for name in files if "://" not in name]
    missing = [name for name in local if not (store / name).exists()]
    return [store / name for name in local if (store / name).is_file()], missing


def read(path: Path, *, digests: bool = True) -> Archive:
    """Read one archive; what is wrong with it becomes its problems.

    :param digests: whether every byte of it is checked too.
    :raises OSError: if the file cannot be read.
    """
    try:
        entries = {entry.name: entry for entry in zips.read(path)}
    except ContractError as error:
        return _foreign(path, error.problems)
    if eisenjson.FILE_NAME not in entries:
        return _foreign(path, ())
    try:
        about = eisenjson.parse(zips.read_file(path, entries[eisenjson.FILE_NAME], _LIMIT))
        texts = {
            name: zips.read_file(path, entries[name], _LIMIT).decode()
            for name in ("metadata.json", OPTIONS)
            if name in entries
        }
        problems = _changed(path) if digests else ()
    except ContractError as error:
        return _foreign(path, error.problems)
    return _known(path, about, texts, problems)


def _known(
    path: Path, about: Mapping[str, Any], texts: Mapping[str, str], problems: Iterable[str]
) -> Archive:
    metadata = Metadata.parse(json.loads(texts.get("metadata.json", "{}")))
    request, reply = (_body_size(about, part) for part in ("request", "reply"))
    return Archive(
        path,
        path.stat().st_size,
        about["model"]["name"],
        about["model"]["version"],
        about,
        json.loads(texts[OPTIONS]) if OPTIONS in texts else None,
        tuple(problems),
        max(request, declared_size(metadata.inputs)),
        max(reply, declared_size(metadata.outputs)),
        tuple(about["requirements"]),
    )


def _body_size(about: Mapping[str, Any], part: str) -> int:
    sample = about["sample"]
    return int(about["files"][sample[part]["file"]]["size"]) if sample else 0


def _changed(path: Path) -> tuple[str, ...]:
    with tempfile.TemporaryDirectory(prefix="eisen-doctor-") as folder:
        try:
            zips.unpack(path, Path(folder))
            contents.verify(Path(folder))
        except ContractError as error:
            return tuple(error.problems)
    return ()


def _foreign(path: Path, problems: Iterable[str]) -> Archive:
    """Describe an archive of another packer, or one of ours that is damaged."""
    name, version = _NO_WORD.sub("_", path.stem), "1.0"
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
            manifest = json.loads(archive.read(_MANIFEST))["model"]
            name, version = str(manifest["modelName"]), str(manifest.get("modelVersion", version))
            options = _scalars(archive.read(OPTIONS).decode()) if OPTIONS in members else None
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, RuntimeError):
        reasons = tuple(problems) or ("it has no manifest that can be read",)
        return Archive(path, path.stat().st_size, name, version, problems=reasons)
    ours = tuple(problems) if eisenjson.FILE_NAME in members else ()
    return Archive(path, path.stat().st_size, name, version, options=options, problems=ours)


def _scalars(text: str) -> dict[str, Any]:
    """Return the values at the top of a YAML text; lists and sections are left out."""
    try:
        values = json.loads(text)
    except ValueError:
        values = {each[1]: each[2] for each in map(_SCALAR.match, text.splitlines()) if each}
    return values if isinstance(values, dict) else {}


def declared_size(fields: Iterable[Field] | None) -> int:
    """Return the bytes of arrays of the declared shapes, for a batch of one.

    A shape with a free size elsewhere than on axis 0 counts as nothing: it is not known.
    """
    total = 0
    for each in fields or ():
        shape = each.shape or ()
        if not each.is_array or any(size < 0 for size in shape[1:]):
            continue
        dtype = each.type.dtype if each.type is not None else None
        total += math.prod(map(abs, shape)) * (4 if dtype is None else dtype.itemsize)
    return total
