"""Fuzz the code that reads bytes from others, one target after the other.

Usage: ``PYTHONPATH=tools python -m fuzz [TARGET ...] [--runs N] [--rounds N]``, in an environment
with atheris, which ``nox -s fuzz`` makes. The findings are in ``.cache/fuzz``; ``--pack`` makes the
small corpus that the tests replay.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from fuzz import targets

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / ".cache" / "fuzz"
CORPUS = ROOT / "tests" / "shared" / "fuzz_corpus.zip"
#: How many inputs of each target, the smallest ones, the packed corpus contains.
PACKED = 200
_OPTIONS = ("-max_len=768", "-rss_limit_mb=1500", "-timeout=10", "-print_final_stats=1")


def main() -> int:
    """Run the command; the status is 1 if anything was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(targets.TARGETS))
    parser.add_argument("--runs", type=int, default=100_000, help="executions of each target")
    parser.add_argument("--rounds", type=int, default=1, help="how often each has its turn")
    parser.add_argument("--pack", action="store_true", help="write the corpus of the tests")
    arguments = parser.parse_args()
    names = arguments.targets or list(targets.TARGETS)
    for name in names:
        _begin(name)
    if arguments.pack:
        _pack(names)
        return 0
    found = [_fuzz(name, arguments.runs) for _ in range(arguments.rounds) for name in names]
    return int(any(found))


def _folder(name: str) -> Path:
    return WORK / name


def _begin(name: str) -> None:
    """Put the seeds and the packed corpus into the folder from which the fuzzer starts."""
    folder = _folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(targets.seeds(name)):
        (folder / f"seed-{number}").write_bytes(data)
    for entry, data in packed():
        if entry.startswith(f"{name}/"):
            (folder / f"packed-{Path(entry).name}").write_bytes(data)
    lines = (f'"{_escaped(word)}"\n' for word in targets.WORDS)
    (WORK / "words.txt").write_text("".join(lines))


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace('"', '\\"')


def packed() -> list[tuple[str, bytes]]:
    """Return the packed corpus as pairs of ``TARGET/NUMBER`` and the input."""
    if not CORPUS.exists():
        return []
    with zipfile.ZipFile(CORPUS) as file:
        return [(name, file.read(name)) for name in file.namelist()]


def _fuzz(name: str, runs: int) -> bool:
    """Fuzz one target, log what it did, and return whether anything was found."""
    start = time.monotonic()
    options = (f"-runs={runs}", f"-dict={WORK / 'words.txt'}", f"-artifact_prefix={WORK}/{name}-")
    done = _run(name, *_OPTIONS, *options, str(_folder(name)))
    counted = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
    executed = int(counted[1]) if counted else 0
    line = f"{name} {executed} executions in {time.monotonic() - start:.0f} s: "
    line += (
        "nothing found" if done.returncode == 0 else f"FOUND\n{done.stdout}{done.stderr[-4000:]}"
    )
    print(line, flush=True)
    with (WORK / "log.txt").open("a") as log:
        log.write(f"{line}\n")
    return done.returncode != 0


def _run(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fuzz.one", name, *options],
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
    )


def _pack(names: list[str]) -> None:
    """Keep the smallest inputs of each corpus that together reach the same code."""
    kept = {name: [*_smallest(name)] for name in names}
    with zipfile.ZipFile(CORPUS, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for name, inputs in kept.items():
            for number, data in enumerate(inputs[:PACKED]):
                file.writestr(zipfile.ZipInfo(f"{name}/{number:03}"), data)
            print(f"{name}: {min(len(inputs), PACKED)} inputs")


def _smallest(name: str) -> Iterator[bytes]:
    """Yield the inputs that reach code that no smaller input reaches."""
    seen: set[tuple[str, int, int]] = set()
    inputs = sorted((path.read_bytes() for path in _folder(name).iterdir()), key=len)
    for data in inputs:
        reached = _reached(targets.TARGETS[name], data)
        if reached - seen:
            seen |= reached
            yield data


def _reached(target: Callable[[bytes], None], data: bytes) -> set[tuple[str, int, int]]:
    """Return each step from a line to another that an input takes in our code."""
    steps: set[tuple[str, int, int]] = set()

    def trace(frame: FrameType, _event: str, _argument: object) -> Any:
        path, before = frame.f_code.co_filename, frame.f_lineno
        if "eisen_deploy" not in path:
            return None

        def trace_line(frame: FrameType, _event: str, _argument: object) -> Any:
            nonlocal before
            steps.add((path, before, frame.f_lineno))
            before = frame.f_lineno
            return trace_line

        return trace_line

    sys.settrace(trace)
    try:
        target(data)
    finally:
        sys.settrace(None)
    return steps


if __name__ == "__main__":
    sys.exit(main())
