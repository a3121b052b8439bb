"""All that the checks of a configuration look at, gathered once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from eisen_deploy.serving.machine import Machine, here

from . import archives, environment, running
from .archives import Archive
from .configuration import Configuration, read
from .environment import Java, Python

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Facts:
    """A configuration and what its server would find.

    :param archives: those that it would load; all of the model store where that is not known.
    :param missing: archives that it is told to load and that are not in the model store.
    :param store: the model store; ``None`` where none is told.
    :param python: ``None`` where it could not be asked.
    :param running: the TorchServes that run on this machine.
    """

    configuration: Configuration
    machine: Machine
    store: Path | None
    archives: tuple[Archive, ...]
    missing: tuple[str, ...]
    python: Python | None
    java: Java
    running: tuple[running.Running, ...]

    @property
    def environment(self) -> Mapping[str, str]:
        """The server's environment."""
        return self.configuration.environment

    @property
    def heap(self) -> int:
        """The largest size of the Java heap, in bytes."""
        return self.configuration.heap(self.machine.memory)

    @property
    def workers(self) -> int:
        """The workers of a model that does not say how many."""
        given = self.configuration.number("default_workers_per_model")
        return given or self.gpus or self.machine.cores

    @property
    def gpus(self) -> int:
        """The GPUs that the server gives to its workers."""
        given = self.configuration.values.get("number_of_gpu", "")
        return min(self.machine.gpus, int(given)) if given.isdigit() else self.machine.gpus

    def workers_of(self, archive: Archive) -> int:
        """Return the workers that a model is started with."""
        return archive.option("minWorkers", self.configuration.models) or self.workers

    @property
    def temporary(self) -> Path:
        """Where the server unpacks archives."""
        return Path(self.environment.get("TEMP") or "/tmp")  # noqa: S108 - Java's own

    @property
    def pid_folder(self) -> Path:
        """Where the launcher keeps the number of its process."""
        names = (self.environment.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
        return Path(next((name for name in names if name), "/tmp"))  # noqa: S108


def gather(
    target: Path,
    variables: Mapping[str, str],
    *,
    model_store: Path | None = None,
    models: tuple[str, ...] = (),
    python: str | None = None,
    digests: bool = True,
) -> tuple[Facts, list[str]]:
    """Look at everything once.

    :param target: a file or a folder, see :func:`.configuration.read`.
    :param variables: the server's environment.
    :param model_store: what the server is given as ``--model-store``, instead of the property.
    :param models: what it is given as ``--models``, instead of ``load_models``.
    :param python: the server's interpreter; by default that of the ``torchserve`` of the path.
    :param digests: whether every byte of the archives is checked.
    :return: the facts, and a sentence for each thing that could not be looked at.
    :raises OSError: if the configuration cannot be read.
    """
    configuration = read(target, variables)
    unexamined: list[str] = []
    store = model_store or configuration.model_store
    names = models or _listed(configuration.values.get("load_models", ""))
    found, missing = _archives(store, names, digests, unexamined)
    program = python or environment.find_python(variables)
    required = [name_of(line) for archive in found for line in archive.requirements]
    asked = environment.ask_python(program, required) if program else None
    if asked is None:
        reason = f"{program} does not run" if program else "no torchserve on the path: use --python"
        unexamined.append(f"the server's Python: {reason}")
    if not configuration.raw and configuration.path is None:
        unexamined.append(f"no config.properties in {target}: everything is as TorchServe has it")
    java = environment.find_java(variables)
    facts = Facts(
        configuration,
        here(environment.count_gpus(variables)),
        store,
        found,
        missing,
        asked,
        java,
        tuple(running.running()),
    )
    return facts, unexamined


def name_of(requirement: str) -> str:
    """Return the distribution that a line of requirements is about."""
    match = _NAME.match(requirement.strip())
    return match[0] if match else requirement


def _listed(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    return () if names in (("none",), ("NONE",)) else names


def _archives(
    store: Path | None, models: tuple[str, ...], digests: bool, unexamined: list[str]
) -> tuple[tuple[Archive, ...], tuple[str, ...]]:
    if store is None:
        unexamined.append("archives: no model store is told: use --model-store")
        return (), ()
    try:
        paths, missing = archives.find(store, models)
    except OSError as error:
        unexamined.append(f"archives: {store}: {error.strerror}")
        return (), ()
    found = []
    for path in paths:
        try:
            found.append(archives.read(path, digests=digests))
        except OSError as error:  # noqa: PERF203 - one must not hinder the others
            unexamined.append(f"{path}: {error.strerror}")
    return tuple(found), tuple(missing)
