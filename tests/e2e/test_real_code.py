"""Real code, and code of every place that a user keeps it in: packed, proven, served.

Each script of ``real_code`` runs as its user would run it, in an environment with all that it
imports, and writes an archive beside what it computed itself. A TorchServe then serves the
archive in an environment that has torch, TorchServe and what the archive's ``requirements.txt``
lists, and nothing else: not the scripts, not the packages beside them.
"""

from __future__ import annotations

import json
import re
import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from eisen_deploy.client import EisenServingClient
from eisen_deploy.serving.engines.torchserve.launcher import TorchServe

HERE = Path(__file__).resolve().parent
PACKAGES = HERE.parent.parent / "packages"
CODE = HERE / "real_code"

# What the archive of a script requires at least.
LIBRARIES = {
    "monai_unet": {"monai", "scikit-image"},
    "monai_invertd": {"monai"},
    "monai_compose": {"monai", "nibabel"},
    "eisen_unet": {"eisen-core", "nibabel", "nilearn", "simpleitk"},
    "torchio_transform": {"torchio", "simpleitk", "deprecated"},
}
# These require nothing, and share a server.
OWN_CODE = [
    "main_script",
    "notebook",
    "package_beside_script",
    "package_with_data",
    "editable_install",
    "lambdas",
    "local_bases",
]
CASES = [*LIBRARIES, *OWN_CODE]


class Run:
    """One script, run: its archive, and what it computed itself."""

    def __init__(self, name: str, python: Path, folder: Path) -> None:
        self.name = name
        self.archive = folder / f"{name}.mar"
        self.expected = folder / f"{name}.npz"
        command = [python, CODE / f"{name}.py", folder]
        self.process = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False
        )

    def check(self) -> None:
        assert self.process.returncode == 0, self.process.stderr

    def files(self) -> list[str]:
        with zipfile.ZipFile(self.archive) as archive:
            return archive.namelist()

    def read(self, name: str) -> str:
        with zipfile.ZipFile(self.archive) as archive:
            return archive.read(name).decode()

    def requirements(self) -> list[str]:
        """Return the lines of ``requirements.txt``; an archive that needs nothing has none."""
        if "requirements.txt" not in self.files():
            return []
        lines = self.read("requirements.txt").splitlines()
        return [line for line in lines if not line.startswith("#")]

    def batches(self) -> dict[str, dict[str, dict[str, np.ndarray]]]:
        """Return the arrays by batch, by inputs or outputs, by name."""
        found: dict[str, dict[str, dict[str, np.ndarray]]] = {}
        with np.load(self.expected) as arrays:
            for path, array in arrays.items():
                batch, side, name = path.split("/")
                found.setdefault(batch, {}).setdefault(side, {})[name] = array
        return found


@pytest.fixture(scope="module")
def packing_python(make_environment, server_python):
    """The interpreter of someone who trains: all the libraries, and a project in editable mode."""
    projects = [PACKAGES / "handler", PACKAGES / "packaging", CODE / "editable_project"]
    return make_environment(
        "real-code",
        "monai==1.6.1",
        "scikit-image",
        "torchio==1.2.1",
        *("nibabel", "nilearn", "SimpleITK"),  # MONAI, and what of eisen-core is used here
        *(f"--editable={project}" for project in projects),
        no_deps=["eisen-core==0.0.9"],  # it asks for torchvision, and uses it in examples only
        over=server_python,
    )


@pytest.fixture(scope="module")
def runs(packing_python, tmp_path_factory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("real_code")
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(CASES, pool.map(lambda name: Run(name, packing_python, folder), CASES)))


def server_of(folder: Path, python: Path, archives: list[Path]) -> TorchServe:
    config = {"default_workers_per_model": "1", "max_request_size": str(2**25)}
    store, names = archives[0].parent, [archive.name for archive in archives]
    return TorchServe(folder, store, names, config=config, python=str(python))


@pytest.fixture(scope="module")
def shared_server(runs, server_python, tmp_path_factory):
    archives = [runs[name].archive for name in OWN_CODE if runs[name].archive.exists()]
    with server_of(tmp_path_factory.mktemp("server"), server_python, archives) as server:
        yield server


def distributions(python):
    command = [python, "-m", "pip", "list", "--format=json"]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return {canonical(entry["name"]) for entry in found}


def names_of(requirements):
    return {canonical(requirement.partition("==")[0]) for requirement in requirements}


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()  # as PyPI compares names


def check_predictions(server, run):
    server.wait_ready(run.name)
    url = f"{server.inference_url}/predictions/{run.name}"
    with EisenServingClient(url, validate_inputs=True, token=server.key(), timeout=60) as client:
        for arrays in run.batches().values():
            answer = client.predict(arrays["inputs"])
            assert answer.keys() == arrays["outputs"].keys()
            for name, expected in arrays["outputs"].items():
                assert answer[name].dtype == expected.dtype
                np.testing.assert_allclose(answer[name], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_a_script_packs_what_it_uses_and_no_more(runs, name):
    run = runs[name]
    run.check()
    requirements = run.requirements()
    about = json.loads(run.read("eisen.json"))
    assert about["requirements"] == requirements
    assert about["sample"] is not None  # so it was proven in a clean process
    assert all("==" in requirement for requirement in requirements)
    names = names_of(requirements)
    assert not names & {"torch", "numpy", "torchvision", "pip", "vessel-enhancement"}
    assert names >= LIBRARIES.get(name, set())
    assert bool(names) == (name in LIBRARIES)
    others = set().union(*(LIBRARIES[other] for other in LIBRARIES if other != name))
    others -= LIBRARIES.get(name, set())
    assert not names & (others & {"monai", "torchio", "eisen-core"})
    packed = {Path(each).name for each in run.files()}
    # The scripts import these as well, for themselves.
    assert not packed & {"images.py", "locally.py", "training.py"}


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library_s_code_predicts_where_only_its_requirements_are(
    runs, name, server_python, server_python_with, tmp_path
):
    run = runs[name]
    run.check()
    python = server_python_with(name, run.requirements())
    assert distributions(python) == distributions(server_python) | names_of(run.requirements())
    with server_of(tmp_path, python, [run.archive]) as server:
        check_predictions(server, run)


@pytest.mark.parametrize("name", OWN_CODE)
def test_a_users_own_code_predicts_where_it_is_not_installed(runs, name, shared_server):
    runs[name].check()
    check_predictions(shared_server, runs[name])
