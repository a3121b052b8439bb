"""The variables with which every server's processes use large buffers again."""

from __future__ import annotations

from typing import NamedTuple


class Variable(NamedTuple):
    """One environment variable of a server and its workers.

    :param reason: one sentence.
    :param effect: what was measured on TorchServe.
    """

    name: str
    value: str
    reason: str
    effect: str


#: Of glibc's malloc. How they were found: ``docs/tuned-profile.rst``. *Seconds of the processor*
#: are those of the Java virtual machine for one upload.
ALLOCATOR: tuple[Variable, ...] = (
    Variable(
        "MALLOC_ARENA_MAX",
        "1",
        "one heap of malloc for all threads: what a large body leaves, the next one uses",
        "64 MiB: 0.13 to 0.05 s of the processor in the kernel",
    ),
    Variable(
        "MALLOC_MMAP_MAX_",
        "0",
        "large buffers come from that heap, and are not mapped and zeroed by the kernel each time",
        "256 MiB: 1.5 to 0.2 s of the processor in the kernel",
    ),
    Variable(
        "MALLOC_TRIM_THRESHOLD_",
        "8589934592",
        "freed memory is kept for the next body instead of being given back",
        "256 MiB: 0.9 to 0.2 s of the processor in the kernel",
    ),
)
