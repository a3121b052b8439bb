"""Where an archive goes: ``dst_path``, ``model_name``, ``model_version`` and ``overwrite``."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from eisen_deploy.packaging._destination import check_free
from eisen_deploy.packaging._errors import InvalidArgument
from eisen_deploy.packaging._shared.archive import names


def find_target(
    dst_path: object, model_name: object, model_version: object, *, overwrite: object
) -> Path:
    """Return the path of the archive. Nothing is made there, only looked at.

    :raises InvalidArgument: with every problem of the arguments.
    :raises ArchiveExists: if the archive is there and may not be replaced.
    :raises OSError: if the folder cannot be written into.
    """
    problems = [
        problem
        for what, value in (("model_name", model_name), ("model_version", model_version))
        if (problem := names.identifier_problem(what, value))
    ]
    if not isinstance(overwrite, bool):
        problems.append(f"overwrite: expected True or False, got {overwrite!r:.40}")
    folder = Path(dst_path) if isinstance(dst_path, (str, os.PathLike)) else None
    if folder is None:
        problems.append(f"dst_path: expected a path, got {type(dst_path).__name__}")
    elif "\0" in str(folder):
        problems.append(f"dst_path: expected a path, got {str(folder)!r:.200}")
    elif not (present := _find_present(folder)).is_dir():
        problems.append(f"dst_path: {present} is not a folder")
    if problems or folder is None:
        raise InvalidArgument(problems)
    target = folder / f"{model_name}.mar"
    if target.is_dir():
        raise InvalidArgument(f"{target} is a folder: pick another model_name or dst_path")
    if not overwrite:
        check_free(target)
    if not os.access(present, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(present))
    return target


def _find_present(folder: Path) -> Path:
    """Return a folder, or else the nearest one above it that is there."""
    return next(path for path in (folder, *folder.parents, Path()) if os.path.lexists(path))
