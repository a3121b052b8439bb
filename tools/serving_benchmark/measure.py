"""Measure in rounds: in each round every system makes its calls, each time in another order."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from typing import Any

from .contestants import Contestant, NotStarted
from .systems.system import KIB, MIB

#: Up to which size, how many timed calls one thread makes in a turn, and how many before them.
_ALONE = ((16 * KIB, 100, 10), (MIB, 20, 2), (16 * MIB, 8, 2), (128 * MIB, 3, 1))
_CROWD = ((16 * KIB, 25, 3), (MIB, 6, 1), (16 * MIB, 2, 1))
_SLOW = (2, 1)
#: Up to which size, how many calls all threads make before the first round: Java compiles code that
#: has run thousands of times, and a server that has been running for a while is to be measured.
_HEAT = ((MIB, 5000), (16 * MIB, 100))
_MODEL = {"unet": (3, 1), "cnn": (40, 10), "cnn-batched": (40, 10)}

BATCHED = "cnn-batched"


@dataclass
class Block:
    """One comparison: one task, one size, and a number of clients at once.

    :param size: of a request's array, in bytes.
    :param turns: the seconds of each system, by its name and then by round: ``median`` and ``p99``
        of the calls, and ``each``, the time of all divided by their number.
    :param failed: why a system is missing.
    """

    task: str
    size: int
    threads: int
    calls: int = 0
    turns: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


#: Provides a contestant for one turn.
Opener = Callable[[], AbstractContextManager[Contestant]]


def measure(block: Block, openers: Mapping[str, Opener], rounds: int, calls: int | None) -> None:
    """Measure every system that takes part, and write its times into the block.

    :param openers: by the names under which systems are shown, without those that have failed.
    :param calls: of each thread in each turn, if it is not to depend on the size.
    """
    shuffle = random.Random(block.size + block.threads)  # noqa: S311 - an order, the same each time
    block.calls, warm = _calls(block, calls)
    _heat_up(block, openers)
    for count in range(rounds):
        order = [name for name in openers if name not in block.failed]
        shuffle.shuffle(order)
        for name in order:
            _turn(block, name, openers[name], warm)
        times = " ".join(
            f"{name} {_last_time(block, name)}" for name in openers if name in block.turns
        )
        what = f"{block.task} {block.size} x{block.threads}"
        print(f"{what} round {count + 1}: {times}", flush=True)


def _heat_up(block: Block, openers: Mapping[str, Opener]) -> None:
    """Let each system make calls that do not count, for at most as long as a turn."""
    calls = next((calls for most, calls in _HEAT if block.size <= most), 0)
    if not calls or block.task in _MODEL:
        return
    for opener in openers.values():
        with suppress(NotStarted), opener() as contestant, contestant.awake():
            contestant.ask("turn", block.size, calls // block.threads, 0, block.threads)


def _turn(block: Block, name: str, opener: Opener, warm: int) -> None:
    """Let one system make its calls."""
    try:
        with opener() as contestant, contestant.awake():
            answer = contestant.ask("turn", block.size, block.calls, warm, block.threads)
            log = contestant.server.last_lines()
    except NotStarted as error:
        answer, log = {"failed": "did not start"}, str(error)
    if "failed" in answer:
        block.failed[name] = answer["failed"]
        block.turns.pop(name, None)
        print(f"{name} failed: {answer['failed']}\n{log}", flush=True)
        return
    block.turns.setdefault(name, []).append(summary(answer))


def summary(answer: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a turn that are kept, in seconds."""
    seconds: Sequence[float] = sorted(answer["seconds"])
    return {
        "median": statistics.median(seconds),
        "p99": seconds[min(len(seconds) - 1, int(0.99 * len(seconds)))],
        "each": answer["wall"] / len(seconds),
    }


def _last_time(block: Block, name: str) -> str:
    return f"{block.turns[name][-1]['median'] * 1e3:.2f}"


def _calls(block: Block, given: int | None) -> tuple[int, int]:
    """Return how many calls a thread makes in a turn, and how many before them."""
    table = _ALONE if block.threads == 1 else _CROWD
    fitting = ((calls, warm) for most, calls, warm in table if block.size <= most)
    calls, warm = _MODEL.get(block.task) or next(fitting, _SLOW)
    return given or calls, warm
