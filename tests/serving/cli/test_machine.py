"""What a process may use, read from the files of Linux."""

from __future__ import annotations

import os

import pytest

from eisen_deploy.serving.engines import machine
from eisen_deploy.serving.runtime import cores as of_process


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Set control groups: ``groups("0::/a/b", {"a/b/memory.max": "1000"})``."""

    def _set(process, files):
        top = tmp_path / "cgroup"
        for name, text in files.items():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text(text + "\n")
        (tmp_path / "self").write_text(process + "\n")
        monkeypatch.setattr(of_process, "_CGROUPS", top)
        monkeypatch.setattr(of_process, "_OF_PROCESS", tmp_path / "self")

    return _set


def test_without_limits_it_is_the_machine(groups):
    groups("0::/", {"memory.max": "max", "cpu.max": "max 100000"})
    found = machine.measure_machine(gpus=3)
    assert found.cores == len(os.sched_getaffinity(0))
    assert found.memory == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert found.gpus == 3


def test_the_tightest_limit_of_the_groups_around_holds(groups):
    files = {"a/memory.max": "3000000", "a/b/memory.max": "4000000", "a/cpu.max": "100000 100000"}
    groups("0::/a/b", files)
    assert machine.measure_machine().memory == 3000000
    assert machine.measure_machine().cores == 1


@pytest.mark.parametrize(("quota", "cores"), [(20000, 1), (100000, 1), (150000, 2)])
def test_a_part_of_a_core_counts_as_one(groups, monkeypatch, quota, cores):
    monkeypatch.setattr(of_process, "_count_by_affinity", lambda: 8)
    groups("0::/", {"cpu.max": f"{quota} 100000"})
    assert machine.measure_machine().cores == cores


def test_version_1(groups):
    files = {
        "memory/memory.limit_in_bytes": "5000000",
        "cpu/cpu.cfs_quota_us": "100000",
        "cpu/cpu.cfs_period_us": "100000",
    }
    groups("4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc", files)
    assert machine.measure_machine().memory == 5000000
    assert machine.measure_machine().cores == 1


def test_no_quota_of_version_1(groups):
    files = {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}
    groups("3:cpu:/", files)
    assert machine.measure_machine().cores == len(os.sched_getaffinity(0))


def test_who_was_killed_for_memory(groups):
    groups("0::/a", {"a/memory.events": "low 0\noom 4\noom_kill 2\noom_group_kill 0"})
    assert machine.count_killed_for_memory() == 2


def test_without_control_groups_no_kill_is_counted(groups, tmp_path):
    groups("", {})
    assert machine.count_killed_for_memory() == 0
    assert machine.measure_machine().cores >= 1
