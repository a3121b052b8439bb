"""Small real models of each form, packed into real archives, and fresh interpreters."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch

from eisen_deploy.packaging import EisenServingMAR


def _linear() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Linear(3, 2).eval()


@pytest.fixture
def linear():
    return _linear()


@pytest.fixture(scope="session")
def traced():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit, by torch itself
        return torch.jit.trace(_linear(), torch.ones(1, 3))


@pytest.fixture(scope="session")
def exported():
    batch = torch.export.Dim("batch")
    example = torch.full((2, 3), 0.777)
    return torch.export.export(_linear(), (example,), dynamic_shapes=({0: batch},))


@pytest.fixture(params=["eager", "torchscript", "export"])
def form(request: pytest.FixtureRequest):
    """A model of each form: (name of the form, its file, the model)."""
    fixture, file = {
        "eager": ("linear", "model.pt"),
        "torchscript": ("traced", "model.pt"),
        "export": ("exported", "model.pt2"),
    }[request.param]
    return request.param, file, request.getfixturevalue(fixture)


@pytest.fixture
def packer():
    """One without transforms and with the least metadata."""
    return EisenServingMAR(None, None, {"inputs": []})


@pytest.fixture
def unpack(tmp_path: Path) -> Callable[[Path], Path]:
    """Unpack an archive into a new folder."""

    def unpacked(archive: Path) -> Path:
        folder = tmp_path / f"unpacked-{archive.parent.name}-{archive.stem}"
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
        return folder

    return unpacked


def _python(script: str | Path, *arguments: Any, **options: Any) -> str:
    """Run a script in a fresh interpreter where warnings are errors; return what it prints."""
    command = [sys.executable, "-W", "error", str(script), *map(str, arguments)]
    environment = {**os.environ, **options.pop("env", {})}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=60, check=False, **options
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.fixture
def started_command(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start ``eisen-pack`` with arguments, as in a terminal: Ctrl-C ends it."""
    with ExitStack() as started:

        def start(*arguments: Any) -> subprocess.Popen[str]:
            command = [sys.executable, "-W", "error", "-m", "eisen_deploy.packaging.cli"]
            process = subprocess.Popen(
                [*command, *map(str, arguments)],
                cwd=tmp_path,
                stderr=subprocess.PIPE,
                text=True,
                # What a shell starts in the background ignores it, and so do its children.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
            )
            started.enter_context(process)
            started.callback(process.kill)
            return process

        yield start


@pytest.fixture(scope="session")
def python() -> Callable[..., str]:
    return _python
