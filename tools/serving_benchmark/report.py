"""Write the tables of the page, and the JSON file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from client_benchmark import put_into

from .claims import Claim
from .measure import BATCHED, Block
from .numbers import Results, has, median, ratio
from .systems import BASE, SYSTEMS
from .systems.system import KIB, MIB

_DASH = "-"


def write(results: Results, claims: Sequence[Claim], page: Path | None, data: Path | None) -> None:
    """Put the tables into the page, or print them; write the JSON."""
    content = text(results, claims)
    if data is not None:
        numbers = {
            **results._asdict(),
            "blocks": [asdict(block) for block in results.blocks],
            "claims": [claim._asdict() for claim in claims],
        }
        data.write_text(f"{json.dumps(numbers, indent=1)}\n", "utf-8")
    if page is not None:
        put_into(page, content)
    else:
        print(content)


def text(results: Results, claims: Sequence[Claim]) -> str:
    """Return all tables in reStructuredText."""
    parts = [
        _part("One client", _echo(results, 1)),
        _part("16 clients", _echo(results, 16)),
        _part("A real model", _models(results)),
        _part("Batching", _batching(results)),
        _part("Memory", _memory(results)),
        _part("Claims", _claims(claims)),
        _circumstances(results),
    ]
    return "\n\n".join(part for part in parts if part)


def verdicts(claims: Iterable[Claim]) -> str:
    """Return the claims as lines of text."""
    return "\n".join(f"{_verdict(each):12}  {each.text}: {each.found}" for each in claims)


def _verdict(claim: Claim) -> str:
    return {True: "yes", False: "NO", None: "not measured"}[claim.holds]


def _part(title: str, rows: list[list[str]]) -> str:
    if len(rows) < 2:
        return ""
    return f"{title}\n{'~' * len(title)}\n\n{table(rows)}"


def table(rows: Iterable[Sequence[str]]) -> str:
    """Return a table; the first row has the titles."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for cells in rows:
        marks = ["* -", *["  -"] * (len(cells) - 1)]
        lines += [f"   {mark} {cell}".rstrip() for mark, cell in zip(marks, cells, strict=True)]
    return "\n".join(lines)


def _echo(results: Results, threads: int) -> list[list[str]]:
    """Return the rows for an echo, a column for each size."""
    blocks = [each for each in results.blocks if each.task == "echo" and each.threads == threads]
    names = [name for name in SYSTEMS if any(has(block, name) for block in blocks)]
    key = "median" if threads == 1 else "each"
    head = ["", *(size(block.size) for block in blocks)]
    rows = [[SYSTEMS[name].title, *(_cell(block, name, key) for block in blocks)] for name in names]
    return [head, *rows] if rows else []


def _models(results: Results) -> list[list[str]]:
    block = results.block("unet")
    if block is None:
        return []
    head = ["", f"3-D U-Net, {size(block.size)}"]
    return [
        head,
        *([SYSTEMS[name].title, _cell(block, name)] for name in SYSTEMS if name in block.turns),
    ]


def _batching(results: Results) -> list[list[str]]:
    block = results.block("cnn", None, 16)
    if block is None:
        return []
    return [["", "Calls a second", "p99, ms"], *_batching_rows(block)]


def _batching_rows(block: Block) -> Iterator[list[str]]:
    for label in sorted(block.turns):
        name, _, task = label.partition(" ")
        batched = "batches of up to 8" if task == BATCHED else "one by one"
        throughput = f"{1 / median(block, label, 'each'):.0f}"
        yield [
            f"{SYSTEMS[name].title}, {batched}",
            throughput,
            milliseconds(median(block, label, "p99")),
        ]


def _memory(results: Results) -> list[list[str]]:
    head = ["", "Worker", "All of the server", "Client"]
    rows = []
    for name, held in results.memory.items():
        if "failed" in held:
            continue
        cells = (
            f"{held[key]:.2f}" if key in held else _DASH for key in ("worker", "server", "client")
        )
        rows.append([SYSTEMS[name].title, *cells])
    return [head, *rows]


def _claims(claims: Sequence[Claim]) -> list[list[str]]:
    measured = (each for each in claims if each.holds is not None)
    rows = ([each.text, each.found, _verdict(each)] for each in measured)
    return [["", "Result", "Holds"], *rows]


def _cell(block: Block, name: str, key: str = "median") -> str:
    if not has(block, name):
        return f"{_DASH} ({block.failed.get(name, 'not measured')})"
    times = f" ({ratio(block, name, key=key):.2f})" if has(block, BASE) and name != BASE else ""
    return f"{milliseconds(median(block, name, key))}{times}"


def milliseconds(seconds: float) -> str:
    """Return seconds as milliseconds with three digits that count."""
    value = seconds * 1e3
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{digits}f}".replace(",", " ")


def size(count: int) -> str:
    """Return a number of bytes as people say it."""
    value, unit = (count / MIB, "MiB") if count >= MIB else (count / KIB, "KiB")
    return f"{value:.3g} {unit}"


def _circumstances(results: Results) -> str:
    conditions = results.circumstances
    versions = "; ".join(
        f"{SYSTEMS[name].title}: " + ", ".join(f"{each} {number}" for each, number in found.items())
        for name, found in conditions["versions"].items()
    )
    loads = f"load {conditions['load_before']} before and {conditions['load_after']} after"
    cores = f"{conditions['cores']} cores, {conditions['memory']} GiB of memory"
    machine = (
        f"Python {conditions['python']}, {conditions['system']} {conditions['machine']}, {cores}"
    )
    took = f"{conditions['minutes']} minutes for {conditions['rounds']} rounds"
    return f"{machine}; {loads}; {took}. {versions}."
