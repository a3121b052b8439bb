"""Measure another revision of Eisen-Deploy in the same run, to show what a change costs.

``--before REVISION`` adds it as a system with an environment, archives and a client of its own.
"""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from .environments import FOLDER, ROOT, interpreter
from .systems import SYSTEMS, Endpoint, Place, System
from .systems.system import TOOLS
from .systems.torchserve import REQUIREMENTS, VERSIONS_SHOWN, start_tuned

NAME = "eisen-serve-before"
_ARCHIVES = "before"


def add(revision: str) -> None:
    """Add that revision to the systems.

    :param revision: as git names it.
    """
    source = _source(revision)
    folder = source.relative_to(ROOT)
    mine = (each.replace("packages/", f"{folder}/packages/") for each in REQUIREMENTS)
    SYSTEMS[NAME] = System(
        NAME,
        f"Eisen-Deploy {revision}",
        _start,
        client="torchserve",
        environment=f"before-{source.name}",
        requirements=(*mine, f"--editable={folder}/packages/packaging"),
        versions_shown=VERSIONS_SHOWN,
    )


def make_archives(folder: Path) -> None:
    """Write the archives of that revision, if there is one."""
    if NAME not in SYSTEMS:
        return
    system = SYSTEMS[NAME]
    python = interpreter(system.environment, system.requirements)
    program = (
        "import sys, pathlib, serving_benchmark.archives as a; a.make(pathlib.Path(sys.argv[1]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(TOOLS)}
    (folder / _ARCHIVES).mkdir()
    subprocess.run([python, "-c", program, folder / _ARCHIVES], check=True, env=environment)


@contextmanager
def _start(place: Place) -> Iterator[Endpoint]:
    with start_tuned(place._replace(archives=place.archives / _ARCHIVES)) as endpoint:
        yield endpoint


def _source(revision: str) -> Path:
    """Return a folder with the files of a revision; it is made once."""
    command = ["git", "-C", ROOT]
    name = subprocess.check_output([*command, "rev-parse", "--short=12", revision], text=True)
    folder = FOLDER / f"source-{name.strip()}"
    if not folder.exists():
        raw = subprocess.check_output([*command, "archive", revision, "packages"])
        with tarfile.open(fileobj=BytesIO(raw)) as archive:
            archive.extractall(folder, filter="tar")  # links between the packages are part of it
    return folder
