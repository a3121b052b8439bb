"""Three nodes of Ray in namespaces of the kernel: the short form of ``tools/ray_faults``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from .under_load import long

TOOLS = Path(__file__).resolve().parent.parent.parent / "tools"
SKIPPED = 77
THREADS, CALLS = 4, 30

pytestmark = pytest.mark.alone


@contextmanager
def started(*arguments):
    """Run the program; yield it with a mark that all its processes have in their environment."""
    mark = uuid.uuid4().hex
    program = subprocess.Popen(
        [sys.executable, "-m", "ray_faults", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(TOOLS), "RAY_FAULTS_MARK": mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield program, mark
    finally:
        program.terminate()
        program.wait()
        program.stdout.close()


def list_marked(mark):
    """Return the processes with a mark."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


@long
def test_no_call_is_lost_while_a_replica_and_a_node_are_killed(tmp_path):
    figures = tmp_path / "figures.json"
    size = ["--threads", THREADS, "--calls", CALLS, "--seconds", 15, "--json", figures]
    with started("kills", "--short", *size) as (program, mark):
        said, _ = program.communicate()
        if program.returncode == SKIPPED:
            pytest.skip(said.strip())
        assert program.returncode == 0, said
        assert list_marked(mark) == []
    [report] = json.loads(figures.read_text("utf-8"))
    found = report["summary"]
    assert found["calls"] == found["right"] == THREADS * CALLS
    assert len(report["figures"]) == 2
    assert report["problems"] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_when_the_program_is_ended(number):
    with started("kills") as (program, mark):
        line = program.stdout.readline()
        if line.startswith("skipped"):
            pytest.skip(line.strip())
        assert "head: started" in line
        assert len(list_marked(mark)) > 2
        program.send_signal(number)
        program.wait()
        deadline = time.monotonic() + 30
        while list_marked(mark):
            assert time.monotonic() < deadline
            time.sleep(0.1)
