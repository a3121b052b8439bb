"""The archives of a model store, as far as the server's configuration depends on them."""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from eisen_deploy.serving.runtime._shared.archive import eisen_json, names, reader
from eisen_deploy.serving.runtime._shared.archive.derived_files import MANIFEST
from eisen_deploy.serving.runtime._shared.errors import ContractError
from eisen_deploy.serving.runtime._shared.model import serving_options
from eisen_deploy.serving.runtime._shared.model.metadata import Field, Metadata
from eisen_deploy.serving.runtime.torchserve.server_config import ServerConfig

_SCALAR = re.compile(r"([A-Za-z]\w*):[ \t]*[\"']?([^\s\"'#]*)")
_OPTIONS = serving_options.FILE_NAME
_OPTIONS = serving_options.FILE_NAME
_SMALL = 2**20
# TorchServe's own archives say a model's name by the file's, with what is no word replaced.
_NO_WORD = re.compile(r"\W|^_")


@dataclass(frozen=True)
class StoredArchive:
    """One archive.

    :param is_ours: whether Eisen-Deploy has packed it.
    :param model_size: bytes of the model's file; of the archive where that is not known.
    :param options: the plain values of its ``model-config.yaml``; ``None`` if it has none.
    :param problems: why it is not sound.
    :param request: bytes of the largest request body that is known; 0 without one.
    :param reply: likewise.
    """

    path: Path
    size: int
    name: str
    version: str
    model_size: int
    is_ours: bool = False
    options: Mapping[str, object] | None = None
    problems: tuple[str, ...] = ()
    request: int = 0
    reply: int = 0
    requirements: tuple[str, ...] = ()

    def option(self, name: str, models: Mapping[str, object]) -> int | None:
        """Return an option that is an integer, of this archive or of the property ``models``."""
        own = str((self.options or {}).get(name, ""))
        of_server = ServerConfig(models=models).find_setting(self.name, self.version, name)
        return int(own) if own.isdecimal() else of_server


def find_archives(store: Path, models: Collection[str]) -> tuple[list[Path], list[str]]:
    """Return the archives that a server loads, and the names among ``models`` that are missing.

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


def read_archive(path: Path, *, digests: bool = True) -> StoredArchive:
    """Read one archive; what is wrong with it becomes its problems.

    :param digests: whether every byte of it is checked too.
    :raises OSError: if the file cannot be read.
    """
    try:
        return _describe(path, reader.verify(path) if digests else reader.read(path))
    except ContractError as error:
        return _describe_unknown(path, error.problems)


def _describe(path: Path, read: reader.Archive) -> StoredArchive:
    metadata, about, options = Metadata.parse(read.metadata), read.about, read.serving
    bodies = [about.sample.request.file, about.sample.reply.file] if about.sample else []
    request, reply = [about.files[name].size for name in bodies] or (0, 0)
    return StoredArchive(
        path,
        path.stat().st_size,
        about.model.name,
        about.model.version,
        about.files[about.model.file].size,
        True,
        None if options is None else serving_options.to_config(options),
        request=max(request, compute_declared_size(metadata.inputs)),
        reply=max(reply, compute_declared_size(metadata.outputs)),
        requirements=about.requirements,
    )


def _describe_unknown(path: Path, problems: tuple[str, ...]) -> StoredArchive:
    """Describe an archive of another packer, or one of ours that is damaged."""
    size, named, options = path.stat().st_size, (_NO_WORD.sub("_", path.stem), "1.0"), None
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
            manifest = json.loads(_read_small(archive, MANIFEST))["model"]
            found = manifest["modelName"], manifest.get("modelVersion", "1.0")
            text = _read_small(archive, _OPTIONS) if _OPTIONS in members else None
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, RuntimeError, AttributeError):
        problems = problems or ("it has no manifest that can be read",)
    else:
        odd = map(names.identifier_problem, ("its model's name", "its model's version"), found)
        ours = eisen_json.FILE_NAME in members
        problems = (ours and problems) or tuple(filter(None, odd))
        if not problems:
            named, options = found, None if text is None else _read_scalars(text)
    return StoredArchive(path, size, *named, size, options=options, problems=problems)


def _read_small(archive: zipfile.ZipFile, name: str) -> str:
    """Return the text of a small file.

    :raises ValueError: if it is large, or not a text.
    """
    with archive.open(name) as file:
        raw = file.read(_SMALL + 1)
    if len(raw) > _SMALL:
        raise ValueError(name)
    return raw.decode()


def _read_scalars(text: str) -> dict[str, object]:
    """Return the values at the top of a YAML text; lists and sections are left out."""
    try:
        values = json.loads(text)
    except ValueError:
        values = {each[1]: each[2] for each in map(_SCALAR.match, text.splitlines()) if each}
    return values if isinstance(values, dict) else {}


def compute_declared_size(fields: Iterable[Field] | None) -> int:
    """Return the bytes of arrays of the declared shapes, for a batch of one.

    A shape with a free size elsewhere than on axis 0 counts as nothing: it is not known.
    """
    total = 0
    for each in fields or ():
        shape = each.shape or ()
        if each.is_array and all(size >= 0 for size in shape[1:]):
            dtype = each.type.dtype if each.type is not None else None
            total += math.prod(map(abs, shape)) * (4 if dtype is None else dtype.itemsize)
    return total
