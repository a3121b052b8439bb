"""Whether a Python environment can run TorchServe and our handler, before it is tried."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any, NamedTuple

#: What the server imports, and what to install for it.
REQUIRED = {
    "torch": "torch",
    "numpy": "numpy",
    "yaml": "PyYAML",
    "ts.model_service_worker": "torchserve",
}
_SECONDS = 180

# Runs in the server's environment. ts.model_service_worker imports all that a worker does.
_PROBE = """
import importlib, json, sys
problems = {}
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException as error:
        problems[name] = f"{type(error).__name__}: {error}"
torch = sys.modules.get("torch")
gpus = 0 if torch is None or "torch" in problems else torch.cuda.device_count()
print("\\n" + json.dumps({"problems": problems, "gpus": gpus}))
"""


class UnfitEnvironment(RuntimeError):
    """The server's Python environment lacks something; the message says what to install."""


class Environment(NamedTuple):
    """What was found: the number of GPUs that torch can use."""

    gpus: int


def check(python: str) -> Environment:
    """Import in a process of its own what the server will import.

    :param python: the interpreter of the server's environment.
    :raises UnfitEnvironment: with each module that cannot be imported, and how to install it.
    """
    try:
        probe = subprocess.run(  # noqa: S603
            [python, "-c", _PROBE, *REQUIRED],
            cwd=os.sep,  # no module of the working directory is taken for one of the environment
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnfitEnvironment(f"{python} cannot be run: {error}") from None
    found = _parse(probe.stdout)
    if found is None:
        last = (probe.stderr.strip() or "it says nothing").split("\n")[-1]
        raise UnfitEnvironment(f"{python} ends with {probe.returncode}: {last}")
    _refuse(python, found["problems"])
    return Environment(found["gpus"])


def _parse(text: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(text.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return None
    return found


def _refuse(python: str, problems: dict[str, str]) -> None:
    # torchserve cannot be imported without the others either: then it is they that are told.
    told = {name: why for name, why in problems.items() if "." not in name} or problems
    if told:
        lacking = "; ".join(f"{REQUIRED[name]} ({why})" for name, why in told.items())
        install = " ".join(REQUIRED[name] for name in told)
        raise UnfitEnvironment(
            f"the server's environment lacks {lacking}: {python} -m pip install {install}"
        )
