"""Measure how long each engine takes from its start to the first answer.

``eisen-serve run`` is started on each engine in turn, and a client predicts as soon as the command
says that the archive is served. For comparison a bare process imports torch, loads the same weights
and predicts once. Files are in the page cache, as after a first start.

Usage: ``python tools/startup_benchmark.py [--engines NAME ...] [--rounds N]`` in an environment
that has the three distributions and the engines. Prints the medians.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from soak import pack, served

BARE = """
import sys, torch
model = torch.jit.load(sys.argv[1])
print(model(torch.ones(1, 256)).sum())
"""
ENGINES = ("torchserve", "uvicorn", "ray")


def start_bare(model: Path) -> None:
    """Import torch, load a model and predict, in a process of its own."""
    subprocess.run([sys.executable, "-c", BARE, model], check=True, stdout=subprocess.DEVNULL)


def start_engine(archive: Path, engine: str, folder: Path) -> float:
    """Return the seconds until an engine has answered, without those of its stop."""
    from eisen_deploy.client import EisenServingClient  # noqa: PLC0415

    start = time.perf_counter()
    with served(archive, engine, sys.executable, folder) as server:
        with EisenServingClient(server.url, timeout=60) as client:
            y = client.predict({"x": np.ones((1, 256), np.float32)})["y"]
        seconds = time.perf_counter() - start
    if not np.array_equal(y, np.full((1, 256), 3, np.float32)):
        raise SystemExit(f"{engine}: a wrong answer")
    return seconds


def timed(call: Callable[[], object]) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    """Measure in turns, and print."""
    import torch  # noqa: PLC0415 - not before the arguments are read

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="s-", dir="/tmp") as name:
        folder = Path(name)
        archive, model = pack(folder / "zoo", 1), folder / "model.pt"
        with torch.no_grad():
            torch.jit.save(torch.jit.trace(torch.nn.Linear(256, 256), torch.ones(1, 256)), model)
        start_bare(model)  # the page cache is filled
        turns: list[dict[str, float]] = []
        for number in range(arguments.rounds):
            turn = {"bare": timed(lambda: start_bare(model))}
            for engine in arguments.engines:
                private = folder / f"{engine[0]}{number}"  # short: sockets of Ray are in it
                private.mkdir()
                turn[engine] = start_engine(archive, engine, private)
            turns.append(turn)
            print({what: round(seconds, 2) for what, seconds in turn.items()}, flush=True)
    for what in turns[0]:
        seconds = statistics.median(turn[what] for turn in turns)
        ratio = statistics.median(turn[what] / turn["bare"] for turn in turns)
        print(f"{what:12} {seconds:6.2f} s  ({ratio:.2f} times the bare process)")


if __name__ == "__main__":
    main()
