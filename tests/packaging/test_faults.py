"""A fault at any call, a kill at any time, many at once: never a part, never a stranger's file.

``faults/campaign.py`` does it, in processes that ``faults/shim.c`` is loaded into. It looks after
each attempt: the archive is the old one or the new one, bit for bit; what others have put down
beside it is as it was; and one clean attempt later nothing is left behind.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = Path(__file__).parent / "faults"
# Every call takes minutes: FAULT_STRIDE=1 strikes them all.
STRIDE = int(os.environ.get("FAULT_STRIDE", "20"))

takes_minutes = pytest.mark.slow
linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="preloads a library that Linux alone takes"
)
pytestmark = linux


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc) for the library that makes file system calls fail")
    spec = importlib.util.spec_from_file_location("shim", FAULTS / "shim.py")
    shim = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shim)
    return shim.build(compiler, tmp_path_factory.mktemp("shim"))


@pytest.fixture
def campaign(library, tmp_path):
    """Run one of the functions of campaign.py, and return what it reports."""

    def run(work, *arguments):
        command = [sys.executable, "-W", "error", FAULTS / "campaign.py", tmp_path, work]
        done = subprocess.run(
            [*map(str, command), *map(str, arguments)],
            capture_output=True,
            text=True,
            env={**os.environ, "LD_PRELOAD": str(library)},
            timeout=1200,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        report = json.loads(done.stdout)
        assert report["problems"] == []
        return report

    return run


@takes_minutes
def test_some_faults_of_each_kind(campaign):
    report = campaign("faults", "FULL,KILL,ONCE", 397)
    assert report["cases"] >= 12
    assert {"refused, old", "SIGKILL, old", "packed, new"} <= report["ends"].keys()
    assert report["left"] >= 3, "no kill came while something was staged"


@takes_minutes
def test_every_call_fails_once(campaign):
    report = campaign("faults", "ONCE", STRIDE)
    assert report["calls"] > 1000
    assert report["cases"] >= report["calls"] // STRIDE
    assert set(report["ends"]) == {"refused, old", "packed, new"}
    assert report["ends"]["refused, old"] > 800 // STRIDE


@takes_minutes
def test_a_disk_is_full_from_any_call_on(campaign):
    """Room is still given back then, so nothing stays behind even now."""
    report = campaign("faults", "FULL", 5 * STRIDE)
    assert set(report["ends"]) == {"refused, old", "packed, new"}
    assert report["left"] == 0


@takes_minutes
def test_all_calls_fail_from_any_on(campaign):
    report = campaign("faults", "EVER", 7 * STRIDE)
    assert set(report["ends"]) == {"refused, old", "packed, new"}


@takes_minutes
def test_a_kill_at_any_call(campaign):
    report = campaign("faults", "KILL", 3 * STRIDE)
    assert set(report["ends"]) <= {"SIGKILL, old", "SIGKILL, new", "packed, new"}
    assert report["ends"].get("packed, new", 0) <= 4, "one more than the last call is no kill"


@takes_minutes
def test_a_disk_that_moves_half_of_what_it_is_asked_to(campaign):
    report = campaign("faults", "SHORT", 101)
    assert set(report["ends"]) == {"packed, new"}


@takes_minutes
def test_an_exported_program_on_a_disk_that_fails(campaign):
    """Its file is written by torch, and comes first."""
    report = campaign("faults", "ONCE,FULL", STRIDE, "export", 100)
    assert set(report["ends"]) == {"refused, old", "packed, new"}


@takes_minutes
def test_torchscript_on_a_disk_that_fails(campaign):
    """torch ends the process where its own writing fails; that leaves as little as a kill does."""
    report = campaign("faults", "ONCE,FULL", STRIDE, "torchscript", 100)
    assert {"refused, old", "packed, new"} <= set(report["ends"])
    assert set(report["ends"]) <= {"refused, old", "packed, new", "SIGABRT, old"}


@takes_minutes
def test_kills_at_random_times(campaign):
    """Two hundred in full."""
    kills = 200 if STRIDE == 1 else 60
    report = campaign("kills", kills)
    assert report["cases"] == kills
    assert {"SIGKILL, old", "SIGKILL, new", "packed, new"} == set(report["ends"])
    assert report["left"] >= kills // 5


@takes_minutes
def test_eight_processes_with_one_target(campaign):
    ends = campaign("races", 5)["ends"]
    assert ends[0::2] == [["exists"] * 7 + ["packed"]] * 5
    assert ends[1::2] == [["packed"] * 8] * 5


@takes_minutes
def test_what_one_leaves_is_removed_while_others_pack(campaign):
    report = campaign("crowds", 40)
    assert report["left"] >= 10


@takes_minutes
def test_a_reader_sees_whole_archives_while_a_hundred_are_written(campaign):
    report = campaign("writes", 100)
    assert report["ends"] == {"packed": 100}
    assert report["reader"] == "packed"
    assert report["reads"] >= 100
    assert report["seen"] >= 4
    assert report["left"] == []
