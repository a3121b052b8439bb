"""Compare packing a large model with ``torch-model-archiver`` and its defaults.

Both make archives of the same files, in turns, each time in a fresh process; only the packing is
timed, not the start of Python. ``pack`` saves the model as part of its work. The archiver needs a
model that was saved before, so its time is given with and without saving. Memory is the peak of the
resident memory of a process that makes the model and packs it, of one that only makes it, and of
one that does neither.

Usage: ``python tools/pack_benchmark.py [--size MIB] [--runs N] [--folder FOLDER]`` in an
environment that has ``eisen-deploy-packaging``. Prints a table in reStructuredText.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

LAYERS = 4
ROW = 4096  # floats
MIB = 2**20


# --- what runs in processes of its own ----------------------------------------------------


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that some work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def report(seconds: float) -> None:
    """Print the seconds, and the peak of this process's resident memory in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak": peak}))


def random_model(size: int):  # noqa: ANN201 - torch is imported where it is needed
    """Return a model of ``size`` MiB of random 32-bit floats."""
    import torch  # noqa: PLC0415

    torch.manual_seed(0)
    rows = size * MIB // (4 * ROW * LAYERS)
    return torch.nn.Sequential(*(torch.nn.Linear(ROW, rows, bias=False) for _ in range(LAYERS)))


def imports(folder: Path, size: int) -> None:
    """Import what packing needs, and do nothing else."""
    from eisen_deploy.packaging import EisenServingMAR  # noqa: F401, PLC0415

    del folder, size
    report(0.0)


def idle(folder: Path, size: int) -> None:
    """Make the model, with all imported that packing needs."""
    from eisen_deploy.packaging import EisenServingMAR  # noqa: F401, PLC0415

    model = random_model(size)
    del folder
    report(0.0)
    del model


def ours(folder: Path, size: int) -> None:
    """Make the model and pack it."""
    from eisen_deploy.packaging import EisenServingMAR  # noqa: PLC0415

    model, packer = random_model(size), EisenServingMAR(None, None, {})
    report(timed(lambda: packer.pack(model, folder, "ours", overwrite=True)))


def save(folder: Path, size: int) -> None:
    """Save the model as the archiver needs it."""
    import torch  # noqa: PLC0415

    model = random_model(size)
    report(timed(lambda: torch.save(model, folder / "saved.pt")))


def archiver(folder: Path, size: int) -> None:
    """Run torch-model-archiver's own main function on the files of our archive."""
    from model_archiver.model_packaging import generate_model_archive  # noqa: PLC0415

    del size
    files = folder / "files"
    others = sorted(str(path) for path in files.iterdir() if path.name not in NOT_EXTRA)
    sys.argv = ["torch-model-archiver", "--model-name", "theirs", "--version", "1.0"]
    sys.argv += ["--serialized-file", str(files / "model.pt"), "--handler", "base_handler"]
    sys.argv += ["--extra-files", ",".join(others), "--export-path", str(folder), "--force"]
    report(timed(generate_model_archive))


NOT_EXTRA = ("model.pt", "MAR-INF")  # the archiver gets the first as argument, and makes the second


# --- the measurement ----------------------------------------------------------------------


def run(work: Callable[[Path, int], None], folder: Path, size: int) -> dict[str, float]:
    """Do some work in a fresh process, and return its seconds and its peak in MiB."""
    command = [sys.executable, __file__, "--work", work.__name__]
    command += ["--folder", str(folder), "--size", str(size)]
    answer: dict[str, float] = json.loads(subprocess.check_output(command, text=True))
    return answer


def measure(folder: Path, size: int, runs: int) -> dict[str, list[dict[str, float]]]:
    """Return the results of all ``runs`` turns, by the name of the work."""
    run(ours, folder, size)  # byte code and disk cache, and the files for the archiver
    with zipfile.ZipFile(folder / "ours.mar") as archive:
        archive.extractall(folder / "files")
    works = (imports, idle, ours, save, archiver)
    turns = [{work.__name__: run(work, folder, size) for work in works} for _ in range(runs)]
    return {work.__name__: [turn[work.__name__] for turn in turns] for work in works}


def table(measured: dict[str, list[dict[str, float]]], size: int) -> str:
    """Return the medians as a table, each time with its lowest and highest."""
    seconds = {name: [run["seconds"] for run in runs] for name, runs in measured.items()}
    with_saving = [sum(both) for both in zip(seconds["save"], seconds["archiver"], strict=True)]
    pack = statistics.median(seconds["ours"])
    rows = [["", "Seconds (lowest to highest)", "Times ours"]]
    for title, values in (
        ("``EisenServingMAR.pack``, saving included", seconds["ours"]),
        ("``torch-model-archiver``, model saved before", seconds["archiver"]),
        ("``torch-model-archiver``, saving included", with_saving),
    ):
        median = statistics.median(values)
        spread = f"{median:.2f} ({min(values):.2f} to {max(values):.2f})"
        rows.append([title, spread, f"{median / pack:.1f}"])
    peaks = {
        work: statistics.median(run["peak"] for run in runs) for work, runs in measured.items()
    }
    used = (
        f"Peak memory: {peaks['imports']:.0f} MiB after the imports, {peaks['idle']:.0f} MiB with "
        f"the model made, {peaks['ours']:.0f} MiB with it packed. So a model of {size} MiB and its "
        f"packing take {peaks['ours'] - peaks['imports']:.0f} MiB, the packing alone "
        f"{peaks['ours'] - peaks['idle']:.0f} MiB."
    )
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        lines += [f"   {'* -' if cell is row[0] else '  -'} {cell}".rstrip() for cell in row]
    return "\n".join([*lines, "", used])


def circumstances(runs: int) -> str:
    """Return what the numbers depend on."""
    from importlib.metadata import version  # noqa: PLC0415

    names = ("torch", "torch-model-archiver", "eisen-deploy-packaging")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    return (
        f"Medians of {runs} runs in turns; Python {platform.python_version()}, {versions}; "
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}; load {load}."
    )


def main() -> None:
    """Measure and print, or do one piece of the work."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--size", type=int, default=512, help="MiB of the model")
    arguments.add_argument("--runs", type=int, default=5)
    arguments.add_argument("--folder", type=Path, help="where there is room for five models")
    arguments.add_argument("--work", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.work:
        globals()[given.work](given.folder, given.size)
        return
    folder = Path(tempfile.mkdtemp(dir=given.folder))
    try:
        before = circumstances(given.runs)
        print(table(measure(folder, given.size, given.runs), given.size), before, sep="\n\n")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
