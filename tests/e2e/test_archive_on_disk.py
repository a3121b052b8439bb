"""Whatever becomes of an archive's file, ``eisen-serve`` goes on serving what it has verified."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from eisen_deploy.client import EisenServingClient

from .running_command import READY, Running

HERE = Path(__file__).resolve().parent
ROWS = np.float32([[1, 2], [3, 4]])


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sampled") / "zoo"
    subprocess.run([sys.executable, HERE / "pack_sampled.py", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def served(server_python, zoo, tmp_path_factory):
    """A server of a file of its own, and that file; every test leaves it serving that."""
    file = Path(shutil.copy(zoo / "seg.mar", tmp_path_factory.mktemp("user")))
    with Running("run", file, python=server_python) as running:
        running.until(READY)
        yield running, file


def digest_served(running):
    """Return the digest of the archive that answers, and see that it answers rightly."""
    url = f"http://127.0.0.1:{running.port}/predictions/seg"
    with EisenServingClient(url, timeout=30) as client:
        np.testing.assert_array_equal(client.predict({"x": ROWS})["y"], 2 * ROWS + 1)
    with urllib.request.urlopen(url, b"", 30) as reply:
        return reply.headers["Eisen-Archive-Digest"]


def kill_java(running):
    os.kill(running.jvm(), signal.SIGKILL)
    running.until("serving again")


def kill_workers(running):
    workers = running.workers()
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    for _ in workers:
        running.until("serves again")


def test_a_file_that_is_touched_overwritten_and_replaced(served, zoo):
    running, file = served
    verified = digest_served(running)
    os.utime(file, (1, 1))
    running.until("seg.mar: only its time has changed, its content is what is served")
    with file.open("r+b") as opened:  # the same inode, as `cp new old` does
        opened.truncate()
        opened.write((zoo / "echo.mar").read_bytes())
    running.until("seg.mar has other content now: seg 1.2, sha-256")
    kill_java(running)
    assert digest_served(running) == verified
    kill_workers(running)
    assert digest_served(running) == verified
    (file.parent / "new").write_bytes(b"no archive at all")
    (file.parent / "new").replace(file)
    running.until("seg.mar has other content now: seg 1.2, sha-256")
    kill_workers(running)
    kill_java(running)
    assert digest_served(running) == verified


def test_a_worker_never_loads_unpacked_files_that_were_exchanged(served, zoo):
    running, _ = served
    verified = digest_served(running)
    (models,) = running.temporary.glob("eisen-serve-*/tmp/models")
    (unpacked,) = [path for path in models.iterdir() if path.is_dir()]
    shutil.rmtree(unpacked)
    shutil.unpack_archive(zoo / "echo.mar", unpacked, "zip")  # sound, and another one
    os.kill(running.workers()[0], signal.SIGKILL)
    assert "is not one of those that were verified" in running.until(
        "to unpack its verified archives"
    )
    running.until("serving again")
    assert digest_served(running) == verified
