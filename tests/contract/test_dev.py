"""``tools/dev.py``: what it says before there is an environment, and what ends with it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
DEV = ROOT / "tools" / "dev.py"

# What a task does: it starts a server, and takes a moment to stop it when it is interrupted.
TASK = """
import os, pathlib, subprocess, sys, time
server = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(os.getpid(), server.pid, flush=True)
try:
    time.sleep(600)
except KeyboardInterrupt:
    time.sleep(0.5)
    server.terminate()
    server.wait()
    pathlib.Path(sys.argv[1]).touch()
"""
RUN = "import sys; sys.path.insert(0, {!r}); import dev; dev.run({!r})"


def old_pythons():
    """Return interpreters of this machine that are too old."""
    found = [shutil.which(f"python{version}") for version in ("2.7", "3.6", "3.8", "3.9")]
    found += [str(path) for path in Path.home().glob(".pyenv/versions/[23]*/bin/python")]
    old = "import sys; sys.exit(0 if sys.version_info < (3, 10) else 1)"
    works = [python for python in found if python and subprocess.call([python, "-c", old]) == 0]
    return sorted({os.path.realpath(python) for python in works})


@pytest.mark.slow
def test_an_old_python_gets_one_sentence():
    pythons = old_pythons()
    if not pythons:
        pytest.skip("this machine has no Python before 3.10")
    for python in pythons:
        done = subprocess.run([python, DEV, "tests"], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "needs Python 3.10 or later" in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_names_tasks_time_and_space(arguments):
    done = subprocess.run(
        [sys.executable, DEV, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    for word in ("quickstart", "tests", "lint", "minutes", "GB", ".nox/"):
        assert word in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_what_was_started(tmp_path, number):
    cleaned = tmp_path / "cleaned"
    command = [sys.executable, "-c", TASK, str(cleaned)]
    dev = subprocess.Popen(
        [sys.executable, "-c", RUN.format(str(DEV.parent), command)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    task, server = map(int, dev.stdout.readline().split())
    dev.send_signal(number)
    try:
        dev.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        pytest.fail(f"the task goes on 30 s after {signal.Signals(number).name}")
    finally:
        alive = [pid for pid in (task, server) if is_alive(pid)]
        dev.kill()
        for pid in alive:
            os.kill(pid, signal.SIGKILL)
        dev.communicate()
    assert cleaned.exists()
    assert not alive


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
