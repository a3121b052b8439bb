"""Whether a Python environment can run a server; what is installed in it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

_SECONDS = 180

# Runs in the server's environment. torch, which takes long to import, is only imported where it has
# been built for GPUs.
_PROBE = """
import importlib.util, json, os, runpy, sys
def explain(name):
    try:
        found = importlib.util.find_spec(name)
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return None if found else f"ModuleNotFoundError: No module named {name!r}"
def count_gpus():
    folder = os.path.dirname(importlib.util.find_spec("torch").origin)
    built = runpy.run_path(os.path.join(folder, "version.py"))
    if not (built.get("cuda") or built.get("hip")):
        return 0
    import torch
    return torch.cuda.device_count()
problems = {name: why for name in sys.argv[1:] if (why := explain(name))}
gpus = 0 if "torch" in problems else count_gpus()
print("\\n" + json.dumps({"problems": problems, "gpus": gpus}))
"""


_VERSIONS = """
import importlib.metadata, json, sys
def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
print(json.dumps([sys.version.split()[0], {name: version(name) for name in sys.argv[1:]}]))
"""


class UnfitEnvironment(RuntimeError):
    """The server's environment lacks something.

    :param problems: one sentence for each thing that it lacks, with what to install.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class Environment(NamedTuple):
    """What was found: the number of GPUs that torch can use."""

    gpus: int


class Python(NamedTuple):
    """An interpreter, its version, and the version of each distribution that was asked for."""

    path: str
    version: str
    distributions: Mapping[str, str | None]


def check(python: str, required: Mapping[str, str]) -> Environment:
    """Look in a process of its own for what the server will import.

    :param python: the interpreter of the server's environment.
    :param required: the modules, and what to install for each.
    :raises UnfitEnvironment: with each module that is missing, and how to install it.
    """
    found = _run_probe(python, _PROBE, required, copy_environment())
    problems = found["problems"]
    # torchserve cannot be imported without the others either: then only they are named.
    named = {name: why for name, why in problems.items() if "." not in name} or problems
    if named:
        lacking = "; ".join(f"{required[name]} ({why})" for name, why in named.items())
        install = " ".join(dict.fromkeys(required[name] for name in named))
        raise UnfitEnvironment(
            f"the server's environment lacks {lacking}: {python} -m pip install {install}"
        )
    return Environment(found["gpus"])


def copy_environment() -> dict[str, str]:
    """Return the variables that a server gets of this process's own."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def read_versions(python: str, names: Iterable[str], variables: Mapping[str, str]) -> Python:
    """Ask an interpreter which versions of distributions it has; nothing is imported.

    :param variables: of the environment in which it runs.
    :raises UnfitEnvironment: if it does not run.
    """
    return Python(python, *_run_probe(python, _VERSIONS, names, variables))


def _run_probe(python: str, code: str, names: Iterable[str], variables: Mapping[str, str]) -> Any:
    """Run code in a process of its own, and return what it prints in its last line, as JSON."""
    try:
        probe = subprocess.run(  # noqa: S603
            [python, "-c", code, *names],
            cwd=os.sep,  # no module of the working directory is taken for one of the environment
            env=variables,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnfitEnvironment(f"{python} cannot be run: {error}") from None
    try:
        return json.loads(probe.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        last = (probe.stderr.strip() or "it says nothing").split("\n")[-1]
        raise UnfitEnvironment(f"{python} ends with {probe.returncode}: {last}") from None
