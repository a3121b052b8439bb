"""Run the benchmark: ``nox -s bench``, or ``python -m serving_benchmark --help``."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from . import archives, before, claims, environments, measure, memory, models, plot, report
from .contestants import Contestant, NotStarted, contestant
from .measure import BATCHED, Block
from .numbers import Results
from .systems import BASE, SYSTEMS
from .systems.system import KIB, MIB

_SIZES = {"1KiB": KIB, "588KiB": 588 * KIB, "8MiB": 8 * MIB, "64MiB": 64 * MIB, "256MiB": 256 * MIB}
_TASKS = ("echo", "crowd", "unet", "batching", "memory")
_CROWD = 16
_MOST_IN_CROWD = 8 * MIB
_MOST_TOGETHER = 128 * MIB
_BATCHING = ("eisen-serve", "torchserve-stock", "eisen-serve-uvicorn")

#: System and task by the name under which results are shown.
_Wanted = dict[str, tuple[str, str]]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="serving_benchmark", description=__doc__)
    add = parser.add_argument
    add(
        "--systems",
        nargs="+",
        choices=SYSTEMS,
        default=list(SYSTEMS),
        metavar="NAME",
        help=", ".join(SYSTEMS),
    )
    add(
        "--sizes",
        nargs="+",
        choices=_SIZES,
        default=list(_SIZES),
        metavar="SIZE",
        help=", ".join(_SIZES),
    )
    add(
        "--tasks",
        nargs="+",
        choices=_TASKS,
        default=list(_TASKS),
        metavar="TASK",
        help=", ".join(_TASKS),
    )
    add("--rounds", type=int, default=7, help="every system has one turn in each; default: 7")
    add("--calls", type=int, help="of each client in each turn; default: as the size allows")
    add("--before", metavar="REVISION", help="measure that revision of Eisen-Deploy as well")
    add("--quick", action="store_true", help="two rounds, up to 8 MiB, no memory: a quick check")
    add("--page", type=Path, help="put the tables into this page instead of printing them")
    add("--json", type=Path, help="write all numbers to this file")
    add("--plot", type=Path, help="draw the picture into this file")
    given = parser.parse_args()
    if given.before:
        before.add(given.before)
        given.systems.append(before.NAME)
    if given.quick:
        given.rounds = 2
        given.sizes = [name for name in given.sizes if _SIZES[name] <= 8 * MIB]
        given.tasks = [task for task in given.tasks if task != "memory"]
    return given


def main() -> None:
    """Measure, write the results, and print which claims hold."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of every finally
    given = arguments()
    conditions = circumstances(given)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sb-") as folder:
        archives.make(Path(folder))
        before.make_archives(Path(folder))
        blocks = list(run_blocks(given, Path(folder)))
        held = run_memory(given, Path(folder))
    conditions["load_after"] = load()
    conditions["minutes"] = round((time.monotonic() - start) / 60)
    results = Results(blocks, held, conditions)
    found = claims.check(results)
    report.write(results, found, given.page, given.json)
    if given.plot:
        plot.draw(results, given.plot)
    print(report.verdicts(found))


def run_blocks(given: argparse.Namespace, folder: Path) -> Iterator[Block]:
    """Yield everything that is measured in rounds."""
    sizes = sorted(_SIZES[name] for name in given.sizes)
    echoes = [Block("echo", size, 1) for size in sizes] if "echo" in given.tasks else []
    if "crowd" in given.tasks:
        echoes += [Block("echo", size, _CROWD) for size in sizes if size <= _MOST_IN_CROWD]
    echoes.sort(key=lambda block: (block.size, block.threads))
    yield from _together(
        [each for each in echoes if each.size <= _MOST_TOGETHER], "echo", given, folder
    )
    yield from _apart([each for each in echoes if each.size > _MOST_TOGETHER], given, folder)
    if "unet" in given.tasks:
        block = Block("unet", models.size("unet", 0), 1)
        yield from _together([block], "unet", given, folder)
    if "batching" in given.tasks:
        yield from _batching(given, folder)


def _together(
    blocks: Sequence[Block], task: str, given: argparse.Namespace, folder: Path
) -> Iterator[Block]:
    """Measure with all servers started at once, and all but one halted."""
    wanted = {name: (name, task) for name in given.systems}
    yield from _with_servers(blocks, wanted, given, folder)


def _batching(given: argparse.Namespace, folder: Path) -> Iterator[Block]:
    """Measure the small CNN with batches and without."""
    wanted = {}
    for name in (each for each in _BATCHING if each in given.systems):
        wanted |= {name: (name, "cnn"), f"{name} {BATCHED}": (name, BATCHED)}
    block = Block("cnn", models.size("cnn", 0), _CROWD)
    yield from _with_servers([block], wanted, given, folder)


def _with_servers(
    blocks: Sequence[Block], wanted: _Wanted, given: argparse.Namespace, folder: Path
) -> Iterator[Block]:
    if not blocks:
        return
    with started(wanted, blocks[0].size, folder) as (running, failed):
        openers = {label: partial(nullcontext, each) for label, each in running.items()}
        for block in blocks:
            block.failed |= failed | _lacks(block, wanted)
            measure.measure(block, openers, given.rounds, given.calls)
            yield block


def _apart(blocks: Sequence[Block], given: argparse.Namespace, folder: Path) -> Iterator[Block]:
    """Measure with a fresh server for each turn: together, they would keep too much memory."""
    openers = {name: partial(contestant, name, "echo", folder) for name in given.systems}
    for block in blocks:
        block.failed |= _lacks(block, {name: (name, "echo") for name in given.systems})
        measure.measure(block, openers, given.rounds, given.calls)
        yield block


def _lacks(block: Block, wanted: _Wanted) -> dict[str, str]:
    """Return why systems are not measured."""
    size = block.size * block.threads
    lacking = {label: SYSTEMS[name].lacks(task, size) for label, (name, task) in wanted.items()}
    return {label: lack for label, lack in lacking.items() if lack}


@contextmanager
def started(
    wanted: _Wanted, size: int, folder: Path
) -> Iterator[tuple[dict[str, Contestant], dict[str, str]]]:
    """Start servers, halt them, and say which did not start.

    :param size: of the smallest array that they will be given.
    """
    running: dict[str, Contestant] = {}
    failed: dict[str, str] = {}
    with ExitStack() as stack:
        for label, (name, task) in wanted.items():
            if SYSTEMS[name].lacks(task, size):
                continue
            try:
                running[label] = stack.enter_context(contestant(name, task, folder))
            except NotStarted as error:
                failed[label] = "did not start"
                print(f"{label}: {error}", flush=True)
                continue
            running[label].server.halt()
            print(f"{label} is ready", flush=True)
        yield running, failed


def run_memory(given: argparse.Namespace, folder: Path) -> dict[str, dict[str, Any]]:
    """Measure memory, if the command line asks for it."""
    return memory.measure(given.systems, 64 * MIB, folder) if "memory" in given.tasks else {}


def circumstances(given: argparse.Namespace) -> dict[str, Any]:
    """Make the environments, and return what the numbers depend on."""
    versions = {}
    for name in (BASE, *given.systems):
        system = SYSTEMS[name]
        python = environments.interpreter(system.environment, system.requirements)
        shown = {each: SYSTEMS[each] for each in versions}
        if system.versions_shown and system.environment not in {
            each.environment for each in shown.values()
        }:
            versions[name] = environments.versions(python, system.versions_shown)
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "rounds": given.rounds,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cores": os.cpu_count(),
        "memory": round(memory_bytes / 2**30),
        "load_before": load(),
        "versions": versions,
    }


def load() -> str:
    """Return the load of the machine."""
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


if __name__ == "__main__":
    main()
