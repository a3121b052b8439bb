"""Whatever archive and batch: each reply is, bit for bit, the one that its request gets alone.

``DIFFERENTIAL_CASES=300`` makes as many archives at random; the first 60 are enough for every run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent / "differential" / "compare.py"
CASES = int(os.environ.get("DIFFERENTIAL_CASES", "60"))


@pytest.mark.slow
def test_replies_of_a_batch_are_those_of_its_requests_alone(tmp_path):
    command = [sys.executable, SCRIPT, "0", str(CASES), tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == CASES
    answered = [each for each in told if "refused" not in each]
    assert len(answered) > 0.7 * CASES, Counter(each.get("refused") for each in told)
    assert [each for each in answered if each["differ"]] == []
    assert {200, 400, 422} <= {status for each in answered for status in each["statuses"]}
    shared = Counter(each["shared"] for each in answered)
    assert min(shared[True], shared[False]) > 0.05 * CASES, shared
