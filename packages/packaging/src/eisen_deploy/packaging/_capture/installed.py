"""The distributions that are installed here: who owns a module, who needs whom."""

from __future__ import annotations

import csv
import functools
import importlib.metadata
import json
import os
import sys
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from importlib.metadata import Distribution
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit
from urllib.request import url2pathname

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

_SUFFIXES = (".py", ".so", ".pyd")

#: What says in a folder of the import path that a distribution is installed there.
_METADATA = (".dist-info", ".egg-info", ".egg-link", ".pth")

_known: set[tuple[str, str, int]] = set()


def forget_if_changed() -> None:
    """Forget what was read if other distributions are installed now: a notebook installs more."""
    found = set(_find_metadata())
    if found != _known:
        caches = (_get_distribution, _find_owners, _list_files, _find_editables, find_import_roots)
        for cached in caches:
            cached.cache_clear()
        _known.clear()
        _known.update(found)


def find_owner(module: str, origin: str | None) -> str | None:
    """Return the canonical name of the distribution that installed a module, if one did.

    :param origin: the module's file; of a namespace package, ``None``.
    """
    top = module.partition(".")[0]
    owners = sorted(_find_owners().get(top, ()))
    if origin is None:
        return owners[0] if len(owners) == 1 else None
    return next((name for name in owners if _has_file(name, origin)), None)


def has_owner(top: str) -> bool:
    """Whether some distribution installed a module or package of this top-level name."""
    return top in _find_owners()


def find_editable_owner(origin: str | None) -> str | None:
    """Return the distribution whose editable installation a file belongs to, if one does."""
    if origin is None:
        return None
    parents = Path(origin).resolve().parents
    owners = (name for name, folder in _find_editables().items() if folder in parents)
    return next(owners, None)


def get_version(name: str) -> str:
    """Return a distribution's public version, without the label of its build (``+cpu``).

    :raises importlib.metadata.PackageNotFoundError: if it is not installed.
    """
    text = _get_distribution(name).version
    try:
        return Version(text).public
    except InvalidVersion:
        return text


def is_installed(name: str) -> bool:
    """Whether there is a distribution of this name."""
    try:
        _get_distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def get_folder(name: str) -> Path:
    """Return the folder of the import path into which a distribution is installed.

    :raises importlib.metadata.PackageNotFoundError: if it is not.
    """
    return Path(str(_get_distribution(name).locate_file("")))


def collect_with_dependencies(
    requirements: Iterable[Requirement], *, without: Collection[str] = ()
) -> list[str]:
    """Return distributions with all that their metadata says they need, in order of the walk.

    :param without: canonical names that are left out, with what only they need.
    :returns: canonical names of those that are installed.
    """
    found: dict[str, None] = {}
    seen: set[tuple[str, str]] = set()
    waiting = deque(requirements)
    while waiting:
        requirement = waiting.popleft()
        name = canonicalize_name(requirement.name)
        if name in without or not is_installed(name):
            continue
        found.setdefault(name)
        for extra in ("", *sorted(requirement.extras)):
            if (name, extra) not in seen:
                seen.add((name, extra))
                waiting.extend(_read_dependencies(name, extra))
    return list(found)


@functools.cache
def find_import_roots(name: str) -> frozenset[str]:
    """Return the packages and modules that a distribution brings, by their dotted names.

    Of a namespace package only the distribution's own part is named, as ``google.protobuf``.
    """
    files = [PurePosixPath(file) for file in _list_files(name)]
    code = [file for file in files if file.suffix in _SUFFIXES and ".." not in file.parts]
    packages = {file.parent for file in code if file.name == "__init__.py"}
    roots = {_find_root(file, packages) for file in code}
    return frozenset(root for root in roots if all(part.isidentifier() for part in root.split(".")))


def _find_root(file: PurePosixPath, packages: set[PurePosixPath]) -> str:
    """Return the outermost package above a file, or the module itself."""
    for folder in [*reversed(file.parents)][1:]:
        if folder in packages:
            return ".".join(folder.parts)
    return ".".join([*file.parent.parts, file.name.partition(".")[0]])


def _read_dependencies(name: str, extra: str) -> Iterator[Requirement]:
    for text in _get_distribution(name).requires or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.marker is None:
            if not extra:
                yield requirement
        elif requirement.marker.evaluate({"extra": extra}):
            yield requirement


@functools.cache
def _get_distribution(name: str) -> Distribution:
    return importlib.metadata.distribution(name)


@functools.cache
def _find_owners() -> dict[str, set[str]]:
    """Return the distributions by the top-level names that they install."""
    owners: dict[str, set[str]] = {}
    for name in _list_names():
        for file in _list_files(name):
            owners.setdefault(file.partition("/")[0].partition(".")[0], set()).add(name)
    return owners


@functools.cache
def _list_files(name: str) -> tuple[str, ...]:
    """Return a distribution's files as its record lists them; ``Distribution.files`` is slow."""
    distribution = _get_distribution(name)
    record = distribution.read_text("RECORD")
    if record is None:
        return tuple(file.as_posix() for file in distribution.files or ())
    return tuple(row[0] for row in csv.reader(record.splitlines()) if row)


def _has_file(name: str, origin: str) -> bool:
    folder = os.path.realpath(get_folder(name))
    path = os.path.relpath(os.path.realpath(origin), folder).replace(os.sep, "/")
    return path in _list_files(name)


@functools.cache
def _find_editables() -> dict[str, Path]:
    """Return where each distribution that is installed editable has its source (:pep:`610`)."""
    found = {}
    for name in _list_names():
        about = json.loads(_get_distribution(name).read_text("direct_url.json") or "{}")
        if about.get("dir_info", {}).get("editable"):
            folder = Path(url2pathname(urlsplit(about["url"]).path))
            found[name] = folder.resolve()
    return found


def _find_metadata() -> Iterator[tuple[str, str, int]]:
    """Yield what says which distributions are installed, and when it was changed last."""
    for folder in sys.path:
        with suppress(OSError), os.scandir(folder or os.curdir) as entries:
            for entry in entries:
                if entry.name.endswith(_METADATA):
                    yield folder, entry.name, entry.stat().st_mtime_ns


def _list_names() -> list[str]:
    names = (each.metadata["Name"] for each in importlib.metadata.distributions())
    return sorted({canonicalize_name(name) for name in names if name})
