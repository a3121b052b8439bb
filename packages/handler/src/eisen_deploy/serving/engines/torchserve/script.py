"""A shell script that starts TorchServe: its folders, its environment and its command line."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from eisen_deploy.serving.engines.served_archives import ServedArchive
from eisen_deploy.serving.runtime._shared.archive.names import identifier_problem

from .launcher import find_program
from .settings.configuration import Configuration, render_variables
from .settings.java import find_java

#: The name that ``eisen-serve config`` gives it.
NAME = "torchserve.sh"


@dataclass(frozen=True)
class ModelStore:
    """Where TorchServe finds archives.

    :param models: the names of their files there.
    :param links: the archives by name, where the folder consists of links to them.
    """

    folder: Path
    models: Sequence[str]
    links: Mapping[str, Path] = field(default_factory=dict)

    @property
    def commands(self) -> list[str]:
        """The commands of a shell that make it."""
        links = [
            ["ln", "-sf", str(archive), str(self.folder / name)]
            for name, archive in self.links.items()
        ]
        return [shlex.join(each) for each in (["mkdir", "-p", str(self.folder)], *links) if links]


@dataclass(frozen=True)
class Start:
    """What a script starts TorchServe with.

    :param variables: that it sets; ``None`` for one that it removes.
    """

    program: Path
    config: Path
    store: ModelStore
    variables: Mapping[str, str | None]

    def apply_variables(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return an environment as the script changes it."""
        changed = {**environment, **self.variables}
        return {name: value for name, value in changed.items() if value is not None}


def lay_out_model_store(found: Sequence[ServedArchive], folder: Path) -> ModelStore:
    """Return the archives' own folder, or a new one with links to them.

    :param folder: where the new one goes.
    """
    folders = {archive.path.absolute().parent for archive in found}
    if len(folders) == 1 and all(_is_plain(archive.path.name) for archive in found):
        return ModelStore(folders.pop(), [archive.path.name for archive in found])
    links = {archive.store_name: archive.path.absolute() for archive in found}
    return ModelStore(folder / "model_store", list(links), links)


def make_folders(folder: Path, store: ModelStore) -> None:
    """Make what a script makes at its start, for those who look at its folder before."""
    _get_temporary(folder).mkdir(parents=True, exist_ok=True)
    if store.links:
        store.folder.mkdir(exist_ok=True)
    for name, archive in store.links.items():
        link = store.folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(archive)


def render_script(
    configuration: Configuration,
    store: ModelStore,
    folder: Path,
    files: Sequence[str],
    python: str,
) -> str:
    """Return the script.

    :param folder: the working folder of TorchServe.
    :param files: the arguments that name its configuration.
    :param python: the interpreter beside which it is installed.
    """
    temporary = str(_get_temporary(folder))
    command = [str(find_program(python).absolute()), "--start", "--ncs", *files]
    command += ["--model-store", str(store.folder), "--models", *store.models]
    return "\n".join(
        [
            "#!/bin/sh",
            "# Starts TorchServe; the same with --stop in place of --start ends it.",
            "set -e",
            shlex.join(["mkdir", "-p", temporary]),
            shlex.join(["cd", str(folder)]) + "  # key_file.json and logs go here",
            *store.commands,
            "# for the pid file, the unpacked archives, the workers' sockets: shared with nobody",
            shlex.join(["export", f"TMPDIR={temporary}", f"TEMP={temporary}"]),
            _export_java(python),
            render_variables(configuration.of_kind("environment")).rstrip(),
            f"exec {shlex.join(command)}",
            "",
        ]
    )


def read_script(text: str) -> Start | None:
    """Return what such a script starts TorchServe with; ``None`` if it is none."""
    variables: dict[str, str | None] = {}
    for line in text.splitlines():
        verb, *words = shlex.split(line, comments=True) or [""]
        if verb == "export":
            variables.update((name, value) for name, _, value in (w.partition("=") for w in words))
        elif verb == "unset":
            variables.update(dict.fromkeys(words))
        elif verb == "exec" and {"--ts-config", "--model-store", "--models"} <= {*words}:
            program, config, store = (
                words[0],
                *(words[words.index(flag) + 1] for flag in ("--ts-config", "--model-store")),
            )
            models = words[words.index("--models") + 1 :]
            return Start(Path(program), Path(config), ModelStore(Path(store), models), variables)
    return None


def _get_temporary(folder: Path) -> Path:
    return folder / "tmp"


def _is_plain(name: str) -> bool:
    """Whether TorchServe takes it for a file: not ``all``, ``name=file``, or two with a comma."""
    return name.endswith(".mar") and identifier_problem("name", name) is None


def _export_java(python: str) -> str:
    """Return the line that makes TorchServe start the Java that is new enough."""
    home = find_java(python).home
    return "unset JAVA_HOME" if home is None else f"export JAVA_HOME={shlex.quote(home)}"
