"""What importing the client costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ["torch", "dill", "eisen_deploy.packaging", "eisen_deploy.serving", "asyncio", "unittest"]


@pytest.fixture(scope="module")
def loaded():
    code = (
        "import sys, numpy, requests; before = set(sys.modules); import eisen_deploy.client;"
        "print(*sorted(set(sys.modules) - before))"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, text=True
    )
    return run.stdout.split()


def test_nothing_heavy_is_imported(loaded):
    assert "eisen_deploy.client" in loaded
    assert [name for name in HEAVY if name in loaded] == []


def test_everything_else_imported_belongs_to_numpy_and_requests(loaded):
    rest = {name for name in loaded if not name.startswith("eisen_deploy")}
    assert rest <= {"dataclasses"}


def test_only_private_modules_are_behind_the_public_one(loaded):
    inner = [name.split(".")[2] for name in loaded if name.startswith("eisen_deploy.client.")]
    assert inner
    assert all(name.startswith("_") for name in inner)
