"""Many callers, batches, and workers that are killed: whose request it was, gets the reply."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .live_faults.load import LARGE_ROWS, RIGHT
from .under_load import ENGINES_IN_TURN, count, served

HERE = Path(__file__).resolve().parent
PERIOD = 30.0  # seconds from a kill to the next, in full

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


def rows_of_passes(folder):
    """Return how many rows each pass of the model had, by what the workers have printed."""
    logs = [path for path in folder.rglob("*.log*") if path.is_file()]
    texts = [path.read_text("utf-8", "replace") for path in logs]
    return [int(rows) for text in texts for rows in re.findall(r"a pass of (\d+) rows", text)]


@pytest.mark.parametrize("engine", ENGINES_IN_TURN, indirect=True)
def test_no_reply_is_another_s(tmp_path, engine, server_python):
    pack = HERE / "live_faults" / "pack_waiting.py"
    subprocess.run([sys.executable, pack, tmp_path / "zoo"], check=True)
    total, kills = count(20_000), 0
    period = max(5.0, PERIOD * total / 20_000)
    how = {
        "threads": 16,
        "timeouts": [30.0],
        "waits": [0.02, 0.1],
        "large_share": 0.02,
        "total": total,
        "pause": 0.0,
    }
    start = time.monotonic()
    with served(tmp_path / "zoo" / "pair.mar", engine, server_python, **how) as live:
        due = start + live.cold + 3
        while live.load.is_running:
            time.sleep(0.1)
            workers = live.running.workers()
            if time.monotonic() > due and workers:
                os.kill(random.choice(workers), signal.SIGKILL)
                kills += 1
                due = time.monotonic() + period
        passes = rows_of_passes(live.running.temporary)
    took = time.monotonic() - start - live.cold
    right = [each for each in live.load.outcomes if each.kind == RIGHT]
    print(f"{kills} workers killed, {took:.0f} s; rows in a pass: {max(passes)}")
    assert len(live.load.outcomes) == total
    assert kills
    assert len(right) > 0.9 * total
    assert sum(rows for rows in passes if 3 < rows < LARGE_ROWS) > total / 4, "hardly any batches"
