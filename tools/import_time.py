"""Measure what importing the client costs in addition to numpy and requests, which it needs.

Runs both imports in fresh interpreters, in turns, and prints the medians.
Usage: ``python tools/import_time.py [RUNS]`` in an environment that has the client.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

BASE = "import numpy, requests"
OURS = f"{BASE}, eisen_deploy.client"
TIMED = "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"


def seconds(statement: str, bytecode: str) -> float:
    """Return the time that a statement takes in a fresh interpreter; ``bytecode`` is a folder."""
    command = [sys.executable, "-c", TIMED.format(statement)]
    # Installed packages have byte code, so Python has to write some here too.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": bytecode}
    return float(subprocess.check_output(command, text=True, env=environment))


def main(runs: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as bytecode:
        seconds(OURS, bytecode)
        pairs = [(seconds(BASE, bytecode), seconds(OURS, bytecode)) for _ in range(runs)]
    base, ours = (1000 * statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"numpy, requests           {base:6.1f} ms")
    print(f"and eisen_deploy.client   {ours:6.1f} ms")
    print(f"difference                {ours - base:6.1f} ms (medians of {runs})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
