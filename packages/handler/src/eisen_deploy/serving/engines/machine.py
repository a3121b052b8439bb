"""What the kernel knows: the cores and the memory that it grants, and which processes run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from eisen_deploy.serving.runtime.cores import count_cores, find_control_groups, read_text

if sys.platform != "win32":  # from where a running server can be examined
    import resource


@dataclass(frozen=True)
class Machine:
    """What a server may use.

    :param cores: logical processors, rounded up where a quota grants a part of one.
    :param memory: in bytes.
    :param gpus: that the server's torch can use.
    """

    cores: int
    memory: int
    gpus: int = 0


def measure_machine(gpus: int = 0) -> Machine:
    """Return what this process may use: by its affinity and by its control group."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(count_cores(), min([physical, *_read_memory_limits()]), gpus)


def share_for_bodies(processes: int) -> int:
    """Return the bytes that requests' bodies may take together in one of so many processes.

    All of them get a quarter of the memory: what is made of a body takes as much again, or more.
    """
    return measure_machine().memory // 4 // processes


def count_gpus(environment: Mapping[str, str]) -> int:
    """Count them as TorchServe does: ``CUDA_VISIBLE_DEVICES``, else ``nvidia-smi``."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, timeout=60, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return 0 if found.returncode else len(found.stdout.split())


class OpenFiles(NamedTuple):
    """How many files a process may open, and up to how many it may raise that itself."""

    soft: int
    hard: int


def read_open_files() -> OpenFiles:
    """Return the limits of this process, which the processes that it starts have as well."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    return OpenFiles(*(sys.maxsize if each == resource.RLIM_INFINITY else each for each in limits))


def count_killed_for_memory() -> int:
    """Return how many processes of this control group the kernel has killed for want of memory."""
    counts = [0]
    for folder in find_control_groups("memory"):
        for name in ("memory.events", "memory.oom_control"):
            for line in read_text(folder / name).splitlines():
                word, _, count = line.partition(" ")
                if word == "oom_kill" and count.isdigit():
                    counts.append(int(count))
    return max(counts)


def is_running(pid: int) -> bool:
    """Whether there is a process with this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _read_memory_limits() -> Iterator[int]:
    """Yield each limit of memory: that of the group and those of the groups around it."""
    for folder in find_control_groups("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            if (text := read_text(folder / name)).isdigit():
                yield int(text)
