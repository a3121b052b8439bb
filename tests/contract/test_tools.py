"""The programs in ``tools/`` that measure still run: in small, they print their tables."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parent.parent.parent / "tools"
pytestmark = pytest.mark.torchserve  # ten seconds


def run(*command):
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=TOOLS,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_a_call_costs():
    table = run("client_benchmark.py", "--size", 1, "--runs", 1, "--calls", 1)
    assert re.findall(r"\* - ``(requests\.post|EisenServingClient)", table) == [
        "requests.post",
        "EisenServingClient",
    ]


def test_what_importing_costs():
    assert re.search(r"[0-9.]+ ms", run("import_time.py", 1))


def test_what_packing_costs():
    assert "torch-model-archiver" in run("pack_benchmark.py", "--size", 1, "--runs", 1)


@pytest.mark.parametrize(
    "program",
    [["-m", "serving_benchmark"], ["-m", "ray_faults"], ["soak.py"], ["tune_torchserve.py"]],
)
def test_what_needs_servers_starts(program):
    assert "usage: " in run(*program, "--help")
