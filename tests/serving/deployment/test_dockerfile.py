"""The Dockerfile: what hadolint says of it, and what is in the folder that it is built in."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import pytest
import torch

from eisen_deploy.packaging import EisenServingMAR
from eisen_deploy.serving.engines.deployment import plan
from eisen_deploy.serving.runtime._shared.archive import reader


def hadolint(checkers, path):
    command = [checkers / "hadolint", "--no-color", path]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return found.stdout + found.stderr


def test_hadolint_finds_nothing(folder, checkers):
    assert hadolint(checkers, folder / "Dockerfile") == ""


def test_hadolint_finds_what_is_wrong(exported, checkers, tmp_path):
    path = tmp_path / "Dockerfile"
    text = (exported["plain"] / "Dockerfile").read_text()
    path.write_text(text.replace("ENTRYPOINT [", "ENTRYPOINT [[").replace("torch==", "torch;"))
    assert "Dockerfile:" in hadolint(checkers, path)


def test_every_file_that_the_image_copies_is_there_and_sent_to_the_builder(folder):
    text = (folder / "Dockerfile").read_text()
    lists = re.findall(r"^COPY --chmod=444 (\[.*)", text, re.MULTILINE)
    files = {json.loads(each)[0] for each in lists}
    files |= set(re.findall(r"^COPY ([^- ]\S*) ", text, re.MULTILINE))
    assert {path.name for path in folder.glob("*.mar")} < files
    for file in files:
        assert (folder / file).is_file()
    sent = (folder / ".dockerignore").read_text().split()
    assert files == {line[1:] for line in sent if line.startswith("!")}
    assert "*" in sent


def test_the_copies_are_the_archives_and_everyone_may_read_them(exported, zoo):
    copy = exported["two"] / "seg.mar"
    assert copy.read_bytes() == (zoo / "seg.mar").read_bytes()
    assert copy.stat().st_mode & 0o777 == 0o644
    digest = reader.verify(copy).about.digest
    assert f"# SHA-256 {digest}\n" in (exported["two"] / "Dockerfile").read_text()


def test_the_image_has_what_the_archive_was_packed_with(exported):
    text = (exported["plain"] / "Dockerfile").read_text()
    major, minor = sys.version_info[:2]
    assert f"ARG PYTHON={major}.{minor}\n" in text
    torch_release = torch.__version__.partition("+")[0]
    assert f'"torch=={torch_release}" "numpy=={np.__version__}"\n' in text
    assert '"eisen-deploy-handler[uvicorn]==' in text


def test_ray_in_the_image_is_the_one_that_is_tested():
    try:
        assert version("ray") == plan.RAY
    except PackageNotFoundError:
        pytest.skip("no Ray in this environment")


def test_requirements_of_an_archive_are_installed(tmp_path, run_export):
    packer = EisenServingMAR(None, None, {"inputs": []})
    archive = packer.pack(
        torch.nn.Identity(), tmp_path / "zoo", "seg", requirements=["scipy==1.16.0"]
    )
    assert run_export([archive], tmp_path / "out").status == 0
    assert "scipy==1.16.0" in (tmp_path / "out" / "requirements.txt").read_text().splitlines()
