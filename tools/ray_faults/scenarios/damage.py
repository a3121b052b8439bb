"""Archives on the shared store that are damaged or replaced; the old version goes on answering."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ray_faults.archives import Version
from ray_faults.cluster import HEAD, Cluster
from ray_faults.load import Load, summarize
from ray_faults.node import Node

from .scenario import (
    APPLICATION,
    REPLICA,
    REPLICAS,
    Report,
    Scenario,
    Size,
    configure,
    show,
    start,
    store,
    url,
)

_ENDLESS = 10**6
_REFUSED = "LoadFailed"


def _run(cluster: Cluster, versions: list[Version], size: Size) -> list[Report]:
    first, second, third = versions
    start(cluster, first)
    report = Report("damaged and replaced archives, retries=3, idempotent")
    with Load(
        url(HEAD),
        [first],
        threads=size.threads,
        calls=_ENDLESS,
        seconds=_ENDLESS * 0.5,
        waits=(0.0,),
        idempotent=True,
    ) as load:
        try:
            _deploy_damaged(cluster, report, second, first)
            _start_from_damaged(cluster, report, first, "a flipped byte", _flip)
            _start_from_damaged(
                cluster,
                report,
                first,
                "a replaced file",
                lambda path: _replace(path, third.path.read_bytes()),
            )
        finally:
            load.stop()
    report.summary = found = summarize(load, ())
    report.expect(found.right == found.calls, f"{found.calls - found.right} calls failed")
    show(report)
    return [report]


def _deploy_damaged(cluster: Cluster, report: Report, new: Version, old: Version) -> None:
    """Deploy a version with a flipped byte."""
    copy = store() / "damaged" / new.path.name
    copy.parent.mkdir()
    shutil.copyfile(new.path, copy)
    _flip(copy)
    cluster.deploy(configure(replace(new, path=copy)))
    message = cluster.wait_status(APPLICATION, "DEPLOY_FAILED")
    report.figures["a flipped byte in a new version, deployed"] = _last_line(message)
    report.expect(len(cluster.replicas(APPLICATION)) == REPLICAS, "the old replicas have ended")
    start(cluster, old)


def _start_from_damaged(
    cluster: Cluster, report: Report, version: Version, what: str, harm: Callable[[Path], None]
) -> None:
    """Damage the archive that is served, and kill a replica on each node."""
    content = version.path.read_bytes()
    harm(version.path)
    before = {node: _refusals(node) for node in cluster.workers}
    for node in cluster.workers:
        for kept in node.folder.glob("eisen-deploy-archives-*/*.mar"):
            kept.unlink()
        os.kill(node.find_processes(REPLICA)[0], signal.SIGKILL)
    cluster.wait(
        f"all nodes refuse {what}",
        lambda: all(_refusals(node) > before[node] for node in cluster.workers),
        cluster.explain,
    )
    running = len(cluster.replicas(APPLICATION))
    report.figures[f"{what} under running replicas"] = {
        "refused on": [node.name for node in cluster.workers],
        "message": _last_line(_last_refusal(cluster.workers[0])),
        "replicas that went on answering": running,
    }
    report.expect(running == REPLICAS - len(cluster.workers), f"{running} replicas run")
    _replace(version.path, content)
    cluster.wait_running(APPLICATION, REPLICA, REPLICAS)


def _refusals(node: Node) -> int:
    return sum(text.count(_REFUSED) for text in _logs(node))


def _last_refusal(node: Node) -> str:
    lines = [line for text in _logs(node) for line in text.splitlines() if _REFUSED in line]
    return lines[-1] if lines else ""


def _logs(node: Node) -> list[str]:
    """Return what the replicas of a node have logged and printed."""
    folder = node.folder / "session_latest" / "logs"
    found = [*folder.glob("serve/replica_*"), *folder.glob("worker-*.err")]
    return [path.read_text("utf-8", "replace") for path in found]


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    _replace(path, content)


def _replace(path: Path, content: bytes | bytearray) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else ""


SCENARIO = Scenario(_run, versions=3)
