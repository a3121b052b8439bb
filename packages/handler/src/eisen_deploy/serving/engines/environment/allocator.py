"""The variables with which every server's processes use large buffers again."""

from __future__ import annotations

from typing import NamedTuple


class Variable(NamedTuple):
    """One environment variable of a server and its workers.

    :param reason: a few words; they are printed above the variable.
    """

    name: str
    value: str
    reason: str


#: Of glibc's malloc. How they were found, and what they do: ``docs/tuned-profile.rst``.
ALLOCATOR: tuple[Variable, ...] = (
    Variable(
        "MALLOC_ARENA_MAX",
        "1",
        "one heap of malloc for all threads: what a large body leaves, the next one uses",
    ),
    Variable(
        "MALLOC_MMAP_MAX_",
        "0",
        "large buffers come from that heap, and are not mapped and zeroed by the kernel each time",
    ),
    Variable(
        "MALLOC_TRIM_THRESHOLD_",
        "8589934592",
        "freed memory is kept for the next body instead of being given back",
    ),
)
