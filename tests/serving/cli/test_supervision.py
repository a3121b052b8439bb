"""Which workers end and come back is said, at whatever look somebody sees it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from eisen_deploy.serving.engines.torchserve import supervision
from eisen_deploy.serving.engines.torchserve.calls import Worker
from eisen_deploy.serving.engines.torchserve.worker_reports import WorkerReports

SEG = SimpleNamespace(url_part="seg", name="seg", version="1.0")


@contextmanager
def process():
    """Start a process that waits, as a worker does."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as started:
        yield started
        started.kill()


@pytest.mark.parametrize("looks", [1, 18, 19, 20, 21])
def test_a_worker_that_replaces_another_is_reported(looks, tmp_path):
    """Each twentieth look takes note of workers that were added: this one is not among them."""
    said, ready = [], []
    calls = SimpleNamespace(workers=lambda _: [Worker("9000", "READY", p.pid) for p in ready])
    workers = supervision._Workers([SEG], calls, WorkerReports(tmp_path), said.append)
    with process() as first, process() as second:
        ready.append(first)
        for _ in range(looks):
            workers.look()
        assert said == []
        first.kill()
        first.wait()
        ready.clear()
        workers.look()
        assert said == [f"seg: worker {first.pid} ended"]
        ready.append(second)
        workers.look()
    assert len(said) == 2
    assert said[1].startswith(f"seg: worker {second.pid} serves again, after ")
