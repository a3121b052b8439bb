"""What travels in every archive beside the model: the handler, and the dill that pickled.

Both are copied byte for byte from their installations: the server then needs torch and numpy
only, and unpickles with the version that pickled.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
from pathlib import Path

from eisen_deploy.packaging._errors import IncompleteInstallation
from eisen_deploy.packaging._shared.archive.allowed_values import ENTRY
from eisen_deploy.packaging._shared.archive.zips import raise_error

HANDLER_PACKAGE = ENTRY.partition(".")[0]


def check_installed() -> None:
    """Check that all of it is installed.

    :raises IncompleteInstallation: if it is not.
    """
    _find_runtime()
    _find_package("dill", "dill")
    _find_license_of_dill()


def copy_handler(folder: Path) -> None:
    """Copy the handler into a folder, as the package ``_eisen_serving``."""
    _copy(_find_runtime(), folder / HANDLER_PACKAGE)


def copy_dill(folder: Path) -> None:
    """Copy dill without its tests, and its license, into a folder."""
    _copy(_find_package("dill", "dill"), folder / "dill")
    shutil.copyfile(_find_license_of_dill(), folder / "dill" / "LICENSE")


def _find_runtime() -> Path:
    runtime = _find_package("eisen_deploy.serving", "eisen-deploy-handler") / "runtime"
    if not (runtime / "session.py").is_file():
        raise IncompleteInstallation(
            f"eisen-deploy-handler is damaged: {runtime} has no session.py"
        )
    return runtime


def _find_package(package: str, distribution: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise IncompleteInstallation(f"{distribution} is not installed: no package {package}")
    return Path(next(iter(spec.submodule_search_locations)))


def _copy(source: Path, target: Path) -> None:
    # In a working copy the handler's _shared is a link to a folder.
    for base, folders, files in os.walk(source, followlinks=True, onerror=raise_error):
        folders[:] = [name for name in folders if name not in ("__pycache__", "tests")]
        into = target / Path(base).relative_to(source)
        into.mkdir()
        for name in files:
            if name.endswith((".py", "py.typed")):
                shutil.copyfile(Path(base) / name, into / name)


def _find_license_of_dill() -> Path:
    for file in importlib.metadata.files("dill") or ():
        if file.name.startswith("LICENSE") and ".dist-info" in str(file):
            return Path(str(file.locate()))
    raise IncompleteInstallation("the license of dill is not installed with it")
