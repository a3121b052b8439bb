"""``additional_files`` and ``code_paths``: what else a user wants in the archive.

A file goes to the top level under its name; a folder goes there with all that is in it. Symbolic
links inside a folder are refused, since they can lead out of it, or round in it.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from eisen_deploy.packaging._errors import InvalidFiles
from eisen_deploy.packaging._shared.archive import names


@dataclass(frozen=True)
class Extra:
    """One file: where it is, and its POSIX path in the archive."""

    source: Path
    name: str


def find_extras(
    paths: Iterable[str | os.PathLike[str]] | None,
    taken: Iterable[str] = (),
    argument: str = "additional_files",
) -> list[Extra]:
    """Return the files that a user means by an argument.

    :param paths: files and folders.
    :param taken: further names of the archive's top level that are given out already.
    :param argument: the argument, as messages name it; but for ``additional_files`` the files go
        to a folder where nothing is given out.
    :raises InvalidFiles: with every file that cannot travel, and why.
    """
    problems: list[str] = []
    found: list[Extra] = []
    for path in _parse_paths(paths, argument):
        top = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow a link's name
        problem = _find_top_problem(top, taken if argument == "additional_files" else None)
        if problem:
            problems.append(problem)
        else:
            found += _find_files(top, top.name, problems)
    problems += names.find_collisions(extra.name for extra in found)
    if problems:
        raise InvalidFiles(f"{argument}: {problem}" for problem in problems)
    return found


def find_modules(extras: Iterable[Extra]) -> dict[str, Path]:
    """Return the Python modules among the files by their absolute names."""
    found = {}
    for extra in extras:
        if extra.name.endswith(".py"):
            name = extra.name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            found[name] = extra.source
    return found


def copy_extras(extras: Iterable[Extra], folder: Path) -> None:
    """Copy the files into a folder; their contents, not their permissions and times."""
    for extra in extras:
        target = folder / extra.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(extra.source, target)


def _parse_paths(paths: object, argument: str) -> list[Path]:
    if paths is None:
        return []
    if isinstance(paths, (str, bytes, os.PathLike)) or not isinstance(paths, Iterable):
        raise InvalidFiles(
            f"{argument}: expected a list of paths, got {type(paths).__name__} {paths!r}"
        )
    listed = list(paths)
    problems = [
        f"{argument}[{index}]: expected a path, got {type(path).__name__}"
        for index, path in enumerate(listed)
        if not isinstance(path, str) and not isinstance(path, os.PathLike)
    ]
    if problems:
        raise InvalidFiles(problems)
    return [Path(path) for path in listed]


def _find_top_problem(top: Path, taken: Iterable[str] | None) -> str | None:
    if not top.name:
        return f"{top} has no name"
    if taken is None:
        problem = names.hiding_problem(top.name, is_folder=top.is_dir())
    elif names.fold_name(top.name) in map(names.fold_name, taken):
        problem = "is a name that the archive itself uses"
    else:
        problem = names.top_level_problem(top.name, is_folder=top.is_dir())
    return f"{top.name} {problem}" if problem else None


def _find_files(path: Path, name: str, problems: list[str]) -> Iterator[Extra]:
    """Yield the files at and below a path, and add what is wrong with others to ``problems``."""
    problem = names.portable_problem(path.name)
    if problem:
        problems.append(f"{name!r} {problem}")
    elif path.is_symlink() and "/" in name:
        problems.append(f"{name} is a symbolic link: pass what it points to")
    elif path.is_file():
        if os.access(path, os.R_OK):
            yield Extra(path, name)
        else:
            problems.append(f"{path} cannot be read: {os.strerror(errno.EACCES)}")
    elif not path.is_dir():
        problems.append(f"{path} {'is not a regular file' if path.exists() else 'does not exist'}")
    else:
        for child in _list_folder(path, problems):
            yield from _find_files(child, f"{name}/{child.name}", problems)


def _list_folder(folder: Path, problems: list[str]) -> list[Path]:
    try:
        return sorted(child for child in folder.iterdir() if child.name != "__pycache__")
    except OSError as error:
        problems.append(f"{folder} cannot be read: {error.strerror}")
        return []
