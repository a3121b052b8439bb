"""Compute medians and ratios of the measurements."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from .measure import Block
from .systems import BASE


class Results(NamedTuple):
    """Everything that a run measured.

    :param memory: by system; see ``memory.measure``.
    :param circumstances: what the numbers depend on.
    """

    blocks: list[Block]
    memory: dict[str, dict[str, Any]]
    circumstances: dict[str, Any]

    def block(self, task: str, size: int | None = None, threads: int = 1) -> Block | None:
        """Return the block of a task, a size and a number of clients, if it was measured."""
        for each in self.blocks:
            if each.task == task and each.threads == threads and size in (None, each.size):
                return each
        return None

    def sizes(self, threads: int = 1) -> list[int]:
        """Return the sizes at which an echo was measured."""
        return [
            each.size for each in self.blocks if each.task == "echo" and each.threads == threads
        ]


def median(block: Block, name: str, key: str = "median") -> float:
    """Return the median over the rounds, in seconds."""
    return statistics.median(turn[key] for turn in block.turns[name])


def ratio(block: Block, name: str, base: str = BASE, key: str = "median") -> float:
    """Return how many times as long as the base a system takes: the median over the rounds."""
    pairs = zip(block.turns[name], block.turns[base], strict=False)
    return statistics.median(mine[key] / other[key] for mine, other in pairs)


def has(block: Block | None, *names: str) -> bool:
    """Whether a block has these systems."""
    return block is not None and all(block.turns.get(name) for name in names)


def spread(block: Block, name: str, key: str = "median") -> tuple[float, float]:
    """Return the least and the most of the rounds, in seconds."""
    values: Sequence[float] = [turn[key] for turn in block.turns[name]]
    return min(values), max(values)
