"""The archives of a model store, as far as the server's configuration depends on them."""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eisen_deploy.serving.runtime._shared import archive as reader
from eisen_deploy.serving.runtime._shared import eisenjson, names, serving_options
from eisen_deploy.serving.runtime._shared.description import Description
from eisen_deploy.serving.runtime._shared.determined import MANIFEST
from eisen_deploy.serving.runtime._shared.errors import ContractError
from eisen_deploy.serving.runtime._shared.metadata import Field, Metadata

_SCALAR = re.compile(r"([A-Za-z]\w*):[ \t]*[\"']?([^\s\"'#]*)")
_OPTIONS = serving_options.FILE_NAME
_SMALL = 2**20
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
    about: Description | None = None
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
        return self.about.files[self.about.model.file].size

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
        return _known(path, reader.verify(path) if digests else reader.read(path))
    except ContractError as error:
        return _foreign(path, error.problems)


def _known(path: Path, read: reader.Archive) -> Archive:
    metadata, about, options = Metadata.parse(read.metadata), read.about, read.serving
    request, reply = (_body_size(about, part) for part in ("request", "reply"))
    return Archive(
        path,
        path.stat().st_size,
        about.model.name,
        about.model.version,
        about,
        None if options is None else serving_options.to_config(options),
        request=max(request, declared_size(metadata.inputs)),
        reply=max(reply, declared_size(metadata.outputs)),
        requirements=about.requirements,
    )


def _body_size(about: Description, part: str) -> int:
    return about.files[getattr(about.sample, part).file].size if about.sample else 0


def _foreign(path: Path, problems: Iterable[str]) -> Archive:
    """Describe an archive of another packer, or one of ours that is damaged."""
    name, version = _NO_WORD.sub("_", path.stem), "1.0"
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
            manifest = json.loads(_small(archive, MANIFEST))["model"]
            named = manifest["modelName"], manifest.get("modelVersion", version)
            options = _scalars(_small(archive, _OPTIONS)) if _OPTIONS in members else None
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, RuntimeError, AttributeError):
        reasons = tuple(problems) or ("it has no manifest that can be read",)
        return Archive(path, path.stat().st_size, name, version, problems=reasons)
    told = tuple(problems) if eisenjson.FILE_NAME in members else ()
    odd = map(names.identifier_problem, ("its model's name", "its model's version"), named)
    if told := told or tuple(filter(None, odd)):
        return Archive(path, path.stat().st_size, name, version, problems=told)
    return Archive(path, path.stat().st_size, *named, options=options)


def _small(archive: zipfile.ZipFile, name: str) -> str:
    """Return the text of a small file.

    :raises ValueError: if it is none.
    """
    with archive.open(name) as file:
        raw = file.read(_SMALL + 1)
    if len(raw) > _SMALL:
        raise ValueError(name)
    return raw.decode()


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
