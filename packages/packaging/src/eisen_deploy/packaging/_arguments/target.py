"""Where an archive goes: ``dst_path``, ``model_name``, ``model_version`` and ``overwrite``."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from eisen_deploy.packaging._destination import check_free
from eisen_deploy.packaging._errors import InvalidArgument
from eisen_deploy.packaging._shared.archive import names

_SUFFIX = ".mar"


def find_target(
    dst_path: object, model_name: object, model_version: object, *, overwrite: object
) -> Path:
    """Return the path of the archive. Nothing is made there, only looked at.

    :raises InvalidArgument: with every problem of the arguments.
    :raises ArchiveExists: if the archive is there and may not be replaced.
    :raises OSError: if the folder cannot be written into.
    """
    problems = [*_find_name_problems(model_name, model_version)]
    if not isinstance(overwrite, bool):
        problems.append(f"overwrite: expected True or False, got {overwrite!r:.40}")
    folder = Path(dst_path) if isinstance(dst_path, (str, os.PathLike)) else None
    if folder is None:
        problems.append(f"dst_path: expected a path, got {type(dst_path).__name__}")
    elif (problem := _find_folder_problem(folder)) is not None:
        problems.append(f"dst_path: {problem}")
    if problems or folder is None:
        raise InvalidArgument(problems)
    target = folder / f"{model_name}{_SUFFIX}"
    if target.is_dir():
        raise InvalidArgument(f"{target} is a folder: pick another model_name or dst_path")
    if not overwrite:
        check_free(target)
    present = _find_present(folder)
    if not os.access(present, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(present))
    return target


def _find_name_problems(name: object, version: object) -> Iterator[str]:
    for what, value in (("model_name", name), ("model_version", version)):
        if problem := names.identifier_problem(what, value):
            yield problem
    if isinstance(name, str) and name.lower().endswith(_SUFFIX):
        yield f"model_name: {_SUFFIX} is added to it: pass {name[: -len(_SUFFIX)]!r}, got {name!r}"


def _find_folder_problem(folder: Path) -> str | None:
    if "\0" in str(folder):
        return f"expected a path, got {str(folder)!r:.200}"
    present = _find_present(folder)
    if not present.is_dir():
        return f"{present} is not a folder"
    if present != folder and folder.suffix.lower() == _SUFFIX:
        return (
            f"expected a folder, got {str(folder)!r}: pass {str(folder.parent)!r}, and "
            f"model_name={folder.stem!r}"
        )
    return None


def _find_present(folder: Path) -> Path:
    """Return a folder, or else the nearest one above it that is there."""
    return next(path for path in (folder, *folder.parents, Path()) if os.path.lexists(path))
