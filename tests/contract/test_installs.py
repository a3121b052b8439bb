"""Each wheel alone in a fresh environment, and each one upgraded beside the other two."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import venv
import zipfile
from pathlib import Path

import pytest
from distributions import version_in

ROOT = Path(__file__).resolve().parent.parent.parent
HERE = Path(__file__).resolve().parent
pytestmark = pytest.mark.slow

TOOLS = {"pip", "setuptools"}
LOADED = "import sys, json; print(json.dumps(sorted({n.partition('.')[0] for n in sys.modules})))"


class Environment:
    """A fresh virtual environment, with settings of pip."""

    def __init__(self, folder: Path, settings: dict[str, str], over: Path | None = None) -> None:
        self.folder = folder
        self.settings = settings
        venv.create(folder, with_pip=True)
        self.python = folder / "bin" / "python"
        if over is not None:
            packages = site.getsitepackages([str(folder)])[0]
            below = site.getsitepackages([str(over.parents[1])])[0]
            Path(packages, "over.pth").write_text(f"{below}\n")

    def run(self, *arguments: object) -> str:
        environment = {
            **os.environ,
            **self.settings,
            "PIP_CONSTRAINT": str(ROOT / "tools" / "constraints.txt"),
        }
        environment.pop("PYTHONPATH", None)
        done = subprocess.run(
            [self.python, *map(str, arguments)],
            env=environment,
            capture_output=True,
            text=True,
            cwd=self.folder,
            check=False,  # the message below says more
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def install(self, *requirements: object) -> None:
        self.run("-m", "pip", "install", "--quiet", *requirements)

    def distributions(self) -> set[str]:
        found = json.loads(self.run("-m", "pip", "list", "--format=json"))
        return {entry["name"].lower() for entry in found} - TOOLS

    def loaded_by(self, statement: str) -> set[str]:
        return set(json.loads(self.run("-c", f"{statement}; {LOADED}")))


@pytest.fixture
def environment(tmp_path, without_index):
    made = Environment(tmp_path / "environment", without_index)
    yield made
    shutil.rmtree(made.folder)


def wheel(dist, name):
    return next(dist.glob(f"eisen_deploy_{name}-*.whl"))


def test_client_alone(environment, dist):
    environment.install(wheel(dist, "client"))
    needed = {"certifi", "charset-normalizer", "idna", "numpy", "requests", "urllib3"}
    assert environment.distributions() == {"eisen-deploy-client"} | needed
    loaded = environment.loaded_by("import eisen_deploy.client")
    assert not loaded & {"torch", "dill", "yaml"}
    modules = environment.run("-c", "import eisen_deploy.client, sys; print(*sys.modules)").split()
    ours = {name for name in modules if name.startswith("eisen_deploy.")}
    assert {name.split(".")[1] for name in ours} == {"client"}


def test_handler_alone(environment, dist):
    environment.install(wheel(dist, "handler"))
    assert environment.distributions() == {"eisen-deploy-handler", "dill", "numpy"}
    statement = "from eisen_deploy.serving import EisenServingHandler"
    assert not environment.loaded_by(statement) & {"torch", "dill", "ts"}


def test_packaging_and_what_it_needs_then_each_upgraded_alone(environment, dist, bumped):
    """One environment for both: torch is 700 MB."""
    environment.install("--find-links", dist, wheel(dist, "packaging"))
    found = environment.distributions()
    assert {"eisen-deploy-packaging", "eisen-deploy-handler", "torch", "dill"} <= found
    assert not found & {"eisen-deploy-client", "requests", "torchserve"}
    assert "requests" not in environment.loaded_by("import eisen_deploy.packaging")

    environment.install(wheel(dist, "client"))
    versions = {name: str(version_in(ROOT, name)) for name in ("client", "handler", "packaging")}
    assert json.loads(environment.run(HERE / "roundtrip.py")) == versions
    for name in versions:
        upgraded = bumped(name)
        environment.install("--no-deps", upgraded)
        after = {**versions, name: upgraded.name.split("-")[1]}
        assert after != versions
        assert json.loads(environment.run(HERE / "roundtrip.py")) == after
        environment.run("-m", "pip", "check")
        environment.install("--no-deps", "--force-reinstall", wheel(dist, name))


PARTS = ("client", "packaging", "serving")
OLD_FILES = ("", *(f"{part}/" for part in PARTS))
IMPORTS = "from eisen_deploy.{} import {}"
PUBLIC = ("EisenServingClient", "EisenServingMAR", "EisenServingHandler")


def old_release(folder):
    """Write a wheel with the files that the release of 2020 has."""
    path, about = folder / "eisen_deploy-0.0.2-py3-none-any.whl", "eisen_deploy-0.0.2.dist-info"
    files = {f"eisen_deploy/{part}__init__.py": "" for part in OLD_FILES}
    files[f"{about}/METADATA"] = "Metadata-Version: 2.1\nName: eisen-deploy\nVersion: 0.0.2\n"
    files[f"{about}/WHEEL"] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{about}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{about}/RECORD"])
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return path


def test_the_old_release_of_the_same_name_can_be_replaced(
    tmp_path, dist, server_python, without_index
):
    """By the two ways that the page about installation has."""
    environment = Environment(tmp_path / "environment", without_index, over=server_python)
    statement = "; ".join(map(IMPORTS.format, PARTS, PUBLIC))
    ours = [f"eisen-deploy-{name}" for name in ("client", "handler", "packaging")]

    environment.install(old_release(tmp_path))
    environment.install("--find-links", dist, "--upgrade", "eisen-deploy")
    environment.install("--find-links", dist, "--force-reinstall", "--no-deps", *ours)
    environment.run("-c", statement)
    environment.run("-m", "pip", "check")

    environment.run("-m", "pip", "uninstall", "--yes", "eisen-deploy", *ours)
    environment.install(old_release(tmp_path))
    environment.run("-m", "pip", "uninstall", "--yes", "eisen-deploy")
    environment.install("--find-links", dist, "eisen-deploy")
    environment.run("-c", statement)
