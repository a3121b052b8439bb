"""A script that starts uvicorn, as ``eisen-serve config`` writes it, and what it would find."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from eisen_deploy.serving.engines.environment.probes import (
    Python,
    UnfitEnvironment,
    read_versions,
)
from eisen_deploy.serving.engines.machine import (
    Machine,
    OpenFiles,
    count_gpus,
    measure_machine,
    read_open_files,
)
from eisen_deploy.serving.engines.options import Options
from eisen_deploy.serving.engines.served_archives import BadArchives, ServedArchive, verify

#: What a worker needs, by distribution.
NEEDED = (
    "torch",
    "numpy",
    "uvicorn",
    "httptools",
    "uvloop",
    "python-multipart",
    "prometheus-client",
)


@dataclass(frozen=True)
class UvicornScript:
    """The options of a script, and what its server would find.

    :param damaged: what is wrong with the archives.
    :param python: ``None`` where it could not be asked.
    """

    path: Path
    options: Options
    machine: Machine
    archives: tuple[ServedArchive, ...]
    damaged: tuple[str, ...]
    python: Python | None
    open_files: OpenFiles


def gather_script(
    path: Path,
    options: Options,
    archives: list[Path],
    python: str,
    variables: Mapping[str, str],
) -> tuple[UvicornScript, list[str]]:
    """Look at all that the checks need; nothing is started."""
    found, damaged, unexamined = list[ServedArchive](), tuple[str, ...](), list[str]()
    try:
        found = verify(archives)
    except BadArchives as error:
        damaged = error.problems
    try:
        versions = read_versions(python, NEEDED, variables)
    except UnfitEnvironment as error:
        versions = None
        unexamined.append(f"python: {error}")
    machine, files = measure_machine(count_gpus(variables)), read_open_files()
    script = UvicornScript(path, options, machine, tuple(found), damaged, versions, files)
    return script, unexamined
