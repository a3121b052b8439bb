"""Configurations in files, real archives, and an interpreter that has nothing."""

from __future__ import annotations

import os
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from eisen_deploy.packaging import EisenServingMAR, create_metadata
from eisen_deploy.serving.doctor import Report, examine_configuration

#: Nothing is wrong with it, on a machine with two cores and two gigabytes of memory.
SOUND = {
    "token_expiration_min": "525600",
    "max_request_size": "8000000",
    "max_response_size": "8000000",
    "job_queue_size": "10",
    "default_workers_per_model": "1",
    "default_response_timeout": "600",
    "default_startup_timeout": "600",
}


def variables(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "CUDA_VISIBLE_DEVICES": "", **more}


class Doctor:
    """Examines what a test writes; ``archives`` are packed into the model store."""

    def __init__(self, folder: Path, java_home: str) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.store.mkdir()
        self.environment = variables(TEMP=str(folder), TMPDIR=str(folder), JAVA_HOME=java_home)
        self.python: str | None = None
        self.in_folder = False

    def write(self, text: str = "", **properties: str | None) -> Path:
        """Write the sound configuration with other values, ``None`` for without; or a text."""
        given = {"model_store": str(self.store), **SOUND, **properties}
        lines = [f"{name}={value}" for name, value in given.items() if value is not None]
        path = self.folder / "config.properties"
        path.write_text("\n".join([*lines, text, ""]), "utf-8")
        return path

    def examine(self, text: str = "", **properties: str | None) -> Report:
        path = self.write(text, **properties)
        target = self.folder if self.in_folder else path
        return examine_configuration(target, environment=self.environment, python=self.python)

    def names(self, text: str = "", **properties: str | None) -> dict[str, str]:
        """Return the severity of each finding, by its name."""
        report = self.examine(text, **properties)
        return {each.name: each.severity for each in report.findings}

    def pack(self, name: str = "seg", *, file: str | None = None, **options: object) -> Path:
        shape = options.pop("shape", [-1, 2])
        version = options.pop("version", "1.0")
        metadata = create_metadata(["x"], ["ndarray"], [shape], ["y"], ["ndarray"], [shape])
        metadata |= {"model_input_list": ["x"], "model_output_list": ["y"]}
        mar = EisenServingMAR(None, None, metadata, **options.pop("mar", {}))
        path = mar.pack(torch.nn.Identity(), self.store, name, version, **options)
        return Path(path).rename(self.store / file) if file else Path(path)


@pytest.fixture
def doctor(tmp_path: Path, java: Callable[[str], str]) -> Doctor:
    return Doctor(tmp_path, java("17.0.9"))


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter without any package."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False)
    return str(folder / "bin" / "python")
