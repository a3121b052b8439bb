"""Archives on the shared store that are damaged or replaced; the old version goes on answering."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable, Iterable
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

_CONTROLLER = "controller_*.log"
_REFUSAL = re.compile(
    r"Exception in Replica\(id='(\w+)'(?:(?!Exception in).)*?LoadFailed: ([^\n]+)", re.DOTALL
)


def _run(cluster: Cluster, versions: list[Version], size: Size) -> list[Report]:
    first, second, third = versions
    start(cluster, first)
    report = Report("damaged and replaced archives, retries=3, idempotent")
    with Load(
        url(HEAD),
        [first],
        threads=size.threads,
        calls=1,
        seconds=0.5,
        waits=(0.0,),
        idempotent=True,
    ) as load:
        _deploy_damaged(cluster, report, second, first)
        for what, harm in (
            ("a flipped byte", _flip),
            ("a replaced file", lambda path: _replace(path, third.path.read_bytes())),
        ):
            _start_from_damaged(cluster, report, first, what, harm)
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
    _empty_caches([cluster.head, *cluster.workers])  # else an earlier scenario's copy is found
    cluster.deploy(configure(replace(new, path=copy)))
    message = cluster.wait_status(APPLICATION, "DEPLOY_FAILED")
    report.figures["a flipped byte in a new version, deployed"] = _last_line(message)
    running = len(cluster.replicas(APPLICATION))
    report.expect(running == REPLICAS, f"{running} of the {REPLICAS} old replicas run")
    start(cluster, old)


def _start_from_damaged(
    cluster: Cluster, report: Report, version: Version, what: str, harm: Callable[[Path], None]
) -> None:
    """Damage the archive that is served, and kill a replica on each node."""
    content = version.path.read_bytes()
    harm(version.path)
    before = {node: len(_refusals(cluster, node)) for node in cluster.workers}
    _empty_caches(cluster.workers)
    for node in cluster.workers:
        os.kill(node.find_processes(REPLICA)[0], signal.SIGKILL)
    cluster.wait(
        f"all nodes refuse {what}",
        lambda: all(len(_refusals(cluster, node)) > before[node] for node in cluster.workers),
        cluster.explain,
    )
    running = len(cluster.replicas(APPLICATION))
    report.figures[f"{what} under running replicas"] = {
        "refused on": [node.name for node in cluster.workers],
        "message": _refusals(cluster, cluster.workers[0])[-1],
        "replicas that went on answering": running,
    }
    report.expect(running == REPLICAS - len(cluster.workers), f"{running} replicas run")
    _replace(version.path, content)
    cluster.wait_running(APPLICATION, REPLICAS)


def _empty_caches(nodes: Iterable[Node]) -> None:
    for node in nodes:
        for kept in node.folder.glob("eisen-deploy-archives-*/*.mar"):
            kept.unlink()


def _refusals(cluster: Cluster, node: Node) -> list[str]:
    """Return why replicas did not start on a node, as Serve's controller has logged it.

    The controller names the replica; its own log is on the node where it was.
    """
    there = {path.stem.rpartition("_")[2] for path in _logs(node, "replica_*.log")}
    text = "".join(path.read_text("utf-8", "replace") for path in _logs(cluster.head, _CONTROLLER))
    return [why for replica, why in _REFUSAL.findall(text) if replica in there]


def _logs(node: Node, pattern: str) -> list[Path]:
    return list((node.folder / "session_latest" / "logs" / "serve").glob(pattern))


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
