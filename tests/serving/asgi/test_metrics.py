"""Counters of several processes: one file for each number, and never at an answer's expense."""

from __future__ import annotations

import os
import subprocess
import sys

SCRIPT = """
import os, shutil, sys
from eisen_deploy.serving.engines.asgi.metrics import PrometheusCounters, share_counters
from eisen_deploy.serving.runtime.answering.counters import CountedRequest
share_counters(int(sys.argv[1]))
counters = PrometheusCounters("seg", "1.0")
if len(sys.argv) > 2:
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"])
counters.count([CountedRequest("ok", 1, 1)], {"inference": 0.5})
if len(sys.argv) == 2:
    print(counters.render().decode())
"""


def count(folder, *arguments):
    """Count one request in a process of its own; return what it shows."""
    command = [sys.executable, "-c", SCRIPT, *arguments]
    variables = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    run = subprocess.run(command, env=variables, check=True, capture_output=True, text=True)
    return [line for line in run.stdout.splitlines() if 'Outcome="ok"' in line]


def test_a_process_counts_on_where_the_one_before_has_ended(tmp_path):
    for _ in range(2):
        count(tmp_path, "0")
    (line,) = count(tmp_path, "1")
    assert line.endswith(" 3.0")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["counter_0.db", "counter_1.db"]


def test_what_cannot_be_counted_is_no_error(tmp_path):
    folder = tmp_path / "counters"
    folder.mkdir()
    assert count(folder, "0", "gone") == []
    assert len(count(folder, "0")) == 1
