"""Check that the memory of a server stays flat under mixed load, for as long as you want.

Threads send small requests and requests of 64 MiB, one after the other, to ``eisen-serve run`` with
a model that answers y = 2 x + 1; each answer is checked. Meanwhile the memory of the workers, and
of TorchServe's Java, is measured: the resident memory, and the proportional one (Pss), which
divides shared pages among the processes that share them. After the warm-up, a line is fitted by
least squares.

Usage: ``python tools/soak.py [--engine uvicorn] [--minutes N] [--warm-up N] [--workers N] [--json
FILE]`` in an environment that has the three distributions and the engine, or with its interpreter
as ``--python``. Linux only. The status is 1 if an answer was wrong, a call failed, or anything was
left after the end.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from eisen_deploy.serving.engines.torchserve.launcher import free_ports

MIB = 2**20
SMALL = 2**10
COLUMNS = 2**14  # of four bytes
TIMEOUT = 120.0
KINDS = {"torchserve": ("java", "workers"), "uvicorn": ("workers",)}
_GUARDIAN, _JAVA = b"guardian.py", b"org.pytorch.serve.ModelServer"
_WORKERS = (b"model_service_worker.py", b"engines.uvicorn.worker")
_METRIC = re.compile(r"(ts_inference\w+|eisen\w+)\{([^}]*)\} (\S+)")
_STAGE = re.compile(r'Stage="\w+"')

# --- the server ---------------------------------------------------------------------------


def pack(folder: Path, workers: int) -> Path:
    """Pack the model."""
    import torch  # noqa: PLC0415 - the load does not need it

    from eisen_deploy.packaging import EisenServingMAR, create_metadata  # noqa: PLC0415

    class Affine(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = torch.nn.Parameter(torch.tensor(2.0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.factor + 1

    array = (["ndarray"], [[-1, -1]])
    metadata = create_metadata(["x"], *array, ["y"], *array, model_output_list=["y"])
    packer = EisenServingMAR(None, None, metadata)
    return packer.pack(torch.jit.script(Affine()), folder, "soak", serving={"workers": workers})


class Served(NamedTuple):
    """A running server: the process that was started, and the endpoints that it printed."""

    process: subprocess.Popen[str]
    endpoints: dict[str, Any]

    @property
    def url(self) -> str:
        """Where the model answers."""
        return str(self.endpoints["models"][0]["predictions"])


@contextmanager
def served(archive: Path, engine: str, python: str, folder: Path) -> Iterator[Served]:
    """Run ``eisen-serve``, with all its files below a folder."""
    ports = zip(["--port", "--management-port", "--metrics-port"], free_ports(3), strict=True)
    command = [sys.executable, "-m", "eisen_deploy.serving.cli", "run", archive, "--json"]
    options = [*(part for pair in ports for part in pair), "--python", python, "--engine", engine]
    process = subprocess.Popen(
        list(map(str, [*command, *options])),
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
        start_new_session=True,
    )
    assert process.stdout is not None  # noqa: S101 - asked for
    try:
        lines: list[str] = []
        while not lines or lines[-1] != "}\n":
            lines.append(process.stdout.readline())
            if not lines[-1]:
                raise SystemExit("eisen-serve has ended")
        yield Served(process, json.loads("".join(lines)))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.stdout.close()


def processes(folder: Path) -> dict[str, list[int]]:
    """Return the processes of the server with temporary files below a folder, by their kind."""
    found: dict[str, list[int]] = {"java": [], "workers": [], "others": []}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(folder).encode() in (entry / "environ").read_bytes():
                command = (entry / "cmdline").read_bytes()
                is_guardian = _GUARDIAN in command  # its command line ends with another one's
                is_java = not is_guardian and _JAVA in command
                is_worker = not is_guardian and any(each in command for each in _WORKERS)
                kind = "java" if is_java else "workers" if is_worker else "others"
                found[kind].append(int(entry.name))
    return found


# --- load ---------------------------------------------------------------------------------


class Load:
    """Threads that call the model until the context ends.

    :param rows: for each thread, the rows of its requests; a row has 64 KiB, and 0 stands for a
        request of 1 KiB.
    """

    def __init__(self, url: str, rows: list[int]) -> None:
        from eisen_deploy.client import EisenServingClient  # noqa: PLC0415

        self.ends: Counter[str] = Counter()
        self.sent = 0
        self._client = EisenServingClient(url, timeout=TIMEOUT)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=[count]) for count in rows]

    def __enter__(self) -> Load:  # noqa: PYI034 - Self is Python 3.11
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._client.close()

    def _work(self, rows: int) -> None:
        shape = (rows, COLUMNS) if rows else (1, SMALL // 4)
        x = np.random.default_rng().standard_normal(shape, np.float32)
        name = "large" if rows else "small"
        while not self._stop.is_set():
            x[0, 0] = np.random.default_rng().random()
            self.ends[f"{name}: {self._call(x)}"] += 1
            self.sent += x.nbytes
            self._stop.wait(0.005)

    def _call(self, x: np.ndarray) -> str:
        from eisen_deploy.client import EisenClientError  # noqa: PLC0415

        try:
            y = self._client.predict({"x": x})["y"]
        except EisenClientError as error:
            return type(error).__name__
        return "right" if np.array_equal(y, 2 * x + 1) else "wrong"


# --- memory -------------------------------------------------------------------------------


class Sample(NamedTuple):
    """MiB of all processes of a kind, by kind and measure, after a number of minutes."""

    minutes: float
    sizes: dict[str, float]


def look(folder: Path, kinds: Sequence[str], start: float) -> Sample:
    """Look at the memory of a server."""
    sizes = {}
    for kind, found in processes(folder).items():
        if kind in kinds:
            sizes[f"{kind} RSS"] = sum(kibibytes(pid, "status", "VmRSS") for pid in found) / 1024
            sizes[f"{kind} Pss"] = (
                sum(kibibytes(pid, "smaps_rollup", "Pss") for pid in found) / 1024
            )
    return Sample((time.monotonic() - start) / 60, sizes)


def kibibytes(pid: int, file: str, name: str) -> int:
    """Return a size that the kernel reports for a process; 0 if the process is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    return 0


def watch(
    folder: Path,
    kinds: Sequence[str],
    minutes: float,
    every: float,
    say: Callable[[Sample], None],
) -> list[Sample]:
    """Look at the memory again and again."""
    start = time.monotonic()
    samples: list[Sample] = []
    while time.monotonic() < start + 60 * minutes:
        time.sleep(every)
        samples.append(look(folder, kinds, start))
        say(samples[-1])
    return samples


def trend(samples: list[Sample], name: str) -> dict[str, float]:
    """Return how a size developed: MiB per minute by least squares, and its range."""
    minutes = np.array([sample.minutes for sample in samples])
    sizes = np.array([sample.sizes[name] for sample in samples])
    slope = float(np.polyfit(minutes, sizes, 1)[0]) if len(samples) > 2 else float("nan")
    numbers = {"least": sizes.min(), "most": sizes.max(), "last": sizes[-1], "MiB/min": slope}
    return {what: round(float(number), 2) for what, number in numbers.items()}


def metrics(address: str) -> list[str]:
    """Return what the Prometheus endpoint reports about requests and our handler."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(address, timeout=30) as reply:
        text = reply.read().decode()
    found = _METRIC.findall(text)
    return [" ".join([name, *_STAGE.findall(labels), value]) for name, labels, value in found]


# --- all of it ----------------------------------------------------------------------------


def soak(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Serve, load, watch and end; return the measurements."""
    archive = pack(folder / "zoo", arguments.workers)
    private = folder / "server"
    private.mkdir()
    rows = [0] * arguments.small + [arguments.large_mib * MIB // (4 * COLUMNS)] * arguments.large
    kinds = KINDS[arguments.engine]
    with served(archive, arguments.engine, arguments.python, private) as server:
        before = look(private, kinds, time.monotonic())
        with Load(server.url, rows) as load:
            samples = watch(private, kinds, arguments.minutes, arguments.every, show)
            counters = metrics(server.endpoints["metrics"])
    left = sum(map(len, processes(private).values()))
    late = [sample for sample in samples if sample.minutes >= arguments.warm_up] or samples
    return {
        "engine": arguments.engine,
        "minutes": arguments.minutes,
        "calls": dict(sorted(load.ends.items())),
        "GiB sent": round(load.sent / 2**30, 2),
        "MiB before": {name: round(size, 1) for name, size in before.sizes.items()},
        "MiB after the warm-up": {name: trend(late, name) for name in before.sizes},
        "metrics": counters,
        "processes left": left,
        "files left": len(list(private.iterdir())),
        "samples": [[round(each.minutes, 2), each.sizes] for each in samples],
    }


def show(sample: Sample) -> None:
    """Print one sample."""
    sizes = ", ".join(f"{name} {size:.0f}" for name, size in sample.sizes.items())
    print(f"{sample.minutes:6.2f} min: {sizes} MiB", flush=True)


def is_good(report: dict[str, Any]) -> bool:
    """Whether all answers were right, and nothing was left behind."""
    all_right = all(name.endswith(": right") for name in report["calls"])
    return all_right and not report["processes left"] and not report["files left"]


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--engine", choices=list(KINDS), default="torchserve", help="default: %(default)s")
    add("--minutes", type=float, default=20.0, help="default: %(default)s")
    add("--warm-up", type=float, help="minutes that do not count; default: a quarter, 5 at most")
    add(
        "--every", type=float, default=5.0, help="seconds between two samples; default: %(default)s"
    )
    add("--workers", type=int, default=1, help="default: %(default)s")
    add("--small", type=int, default=3, help="threads with requests of 1 KiB; default: %(default)s")
    add("--large", type=int, default=1, help="threads with large requests; default: %(default)s")
    add("--large-mib", type=int, default=64, help="MiB of a large request; default: %(default)s")
    add("--python", default=sys.executable, help="interpreter of the server's environment")
    add("--json", type=Path, help="file for all measurements")
    arguments = parser.parse_args()
    if arguments.warm_up is None:
        arguments.warm_up = min(5.0, arguments.minutes / 4)
    return arguments


def main() -> int:
    """Measure, and print the results."""
    arguments = read_arguments()
    with tempfile.TemporaryDirectory(prefix="soak-", dir="/tmp") as name:
        report = soak(arguments, Path(name))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    del report["samples"]
    print(json.dumps(report, indent=1))
    return 0 if is_good(report) else 1


if __name__ == "__main__":
    sys.exit(main())
