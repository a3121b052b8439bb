"""What archives require and the server's environment lacks is said before a server starts."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from eisen_deploy.packaging import EisenServingMAR
from eisen_deploy.serving.engines import preflight
from eisen_deploy.serving.engines.environment.requirements import find_unmet
from eisen_deploy.serving.engines.served_archives import verify

COMMAND = [sys.executable, "-m", "eisen_deploy.serving.cli"]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo")
    needs = {"one": ["absent-one==1.0", "absent-both"], "two": ["absent-both"], "three": ["numpy"]}
    for name, requirements in needs.items():
        packer = EisenServingMAR(None, None, {})
        packer.pack(torch.nn.Identity(), folder, name, "1", requirements=requirements)
    return folder


def test_only_pinned_versions_are_compared_and_markers_are_left_to_pip():
    installed = {"a": "1.0+cpu", "b": "2.1", "c": None, "d": None}
    lines = ["a==1.0", "b>=3", "b==2.0", "c", "d==1; sys_platform == 'win32'"]
    assert find_unmet(lines, installed) == {"b==2.0": "2.1", "c": None}


def test_one_list_for_all_archives_with_one_line_for_pip(zoo):
    found = verify([zoo / f"{name}.mar" for name in ("one", "three", "two")])
    assert preflight.explain_missing_requirements(found, sys.executable) == (
        "one needs absent-both, absent-one==1.0; two needs absent-both, which the server's "
        f"environment lacks: {sys.executable} -m pip install --no-deps absent-both absent-one==1.0"
    )
    assert preflight.explain_missing_requirements(found[1:2], sys.executable) is None


@pytest.mark.parametrize(
    "engine",
    [
        "uvicorn",
        pytest.param("ray", marks=pytest.mark.slow),
        pytest.param("torchserve", marks=pytest.mark.torchserve),
    ],
)
def test_every_engine_says_it_and_goes_on(zoo, engine, request, tmp_path):
    """``config`` checks what ``run`` does; its output is the configuration alone."""
    python = sys.executable
    if engine == "torchserve":
        python = str(request.getfixturevalue("server_python"))
    command = [*COMMAND, "config", zoo / "one.mar", "--engine", engine, "--python", python]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert "one needs absent-both, absent-one==1.0" in ended.stderr
    assert f"{python} -m pip install --no-deps" in ended.stderr
    assert "absent" not in ended.stdout
