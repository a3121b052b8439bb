"""What this process may use of its machine: cores, memory; as the kernel limits it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OF_PROCESS = Path("/proc/self/cgroup")


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


def here(gpus: int = 0) -> Machine:
    """Return what this process may use: by its affinity and by its control group."""
    limits = [_physical_memory(), *_memory_limits()]
    cores = [_affinity(), *_core_quotas()]
    return Machine(max(1, min(cores)), min(limits), gpus)


def killed_for_memory() -> int:
    """Return how many processes of this control group the kernel has killed for want of memory."""
    counts = [0]
    for folder in _groups("memory"):
        for name in ("memory.events", "memory.oom_control"):
            for line in _read(folder / name).splitlines():
                word, _, count = line.partition(" ")
                if word == "oom_kill" and count.isdigit():
                    counts.append(int(count))
    return max(counts)


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _physical_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _memory_limits() -> Iterator[int]:
    """Yield each limit of memory: that of the group and those of the groups around it."""
    for folder in _groups("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            if (text := _read(folder / name)).isdigit():
                yield int(text)


def _core_quotas() -> Iterator[int]:
    for folder in _groups("cpu"):
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        if not quota:
            quota, period = (_read(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        if quota.isdigit() and period.isdigit() and int(period):
            yield -(-int(quota) // int(period))


def _groups(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control group and of those around it, versions 2 and 1.

    In a container the paths are those of the host, and the group's own files lie at the top.
    """
    for line in _read(_OF_PROCESS).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = _CGROUPS / controller if controllers else _CGROUPS
        group = top / path.lstrip("/")
        yield from (each for each in (group, *group.parents) if each.is_relative_to(top))


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
