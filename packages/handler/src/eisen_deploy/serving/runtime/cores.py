"""How many processor cores this process may use, and the control groups that limit it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OF_PROCESS = Path("/proc/self/cgroup")


def count_cores() -> int:
    """Return how many cores this process may use: by its affinity and by its control group.

    Rounded up where a quota grants a part of one; at least 1.
    """
    return max(1, min([_count_by_affinity(), *_count_by_quotas()]))


def find_control_groups(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control group and of those around it, versions 2 and 1.

    In a container the paths are those of the host, and the group's own files lie at the top.
    """
    for line in read_text(_OF_PROCESS).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = _CGROUPS / controller if controllers else _CGROUPS
        group = top / path.lstrip("/")
        yield from (each for each in (group, *group.parents) if each.is_relative_to(top))


def read_text(path: Path) -> str:
    """Return a file's text without white space around it; nothing if it cannot be read."""
    try:
        return path.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


def _count_by_affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _count_by_quotas() -> Iterator[int]:
    for folder in find_control_groups("cpu"):
        quota, _, period = read_text(folder / "cpu.max").partition(" ")
        if not quota:
            quota, period = (
                read_text(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")
            )
        if quota.isdigit() and period.isdigit() and int(period):
            yield -(-int(quota) // int(period))
