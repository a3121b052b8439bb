"""Replicas and a node are killed, and a node is cut off, while clients call."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from typing import NamedTuple

from ray_faults.archives import Version
from ray_faults.cluster import HEAD, Cluster
from ray_faults.load import Load, find_gap, summarize
from ray_faults.node import Node

from .scenario import (
    APPLICATION,
    REPLICA,
    REPLICAS,
    Report,
    Scenario,
    Size,
    call,
    clear,
    show,
    start,
)

# Seconds of a cut that is shorter than what Ray takes to give a node up.
_BLINK = 4.0

#: Replicas, by the address of their node and their process there.
_Dead = set[tuple[str, int]]


class Strike(NamedTuple):
    """Something that is done to the cluster, and when all replicas ran again.

    :param harms: whether calls may fail because of it.
    """

    name: str
    moment: float
    seconds: float
    harms: bool


class _Planned(NamedTuple):
    """Something to do; it returns the replicas that it ended."""

    name: str
    act: Callable[[], _Dead]
    harms: bool = True


def _run(cluster: Cluster, versions: list[Version], size: Size) -> list[Report]:
    [version] = versions
    return [
        _call_and_strike(cluster, version, size, idempotent=idempotent)
        for idempotent in ((True,) if size.is_short else (True, False))
    ]


def _call_and_strike(cluster: Cluster, version: Version, size: Size, *, idempotent: bool) -> Report:
    _begin(cluster, version)
    report, strikes = Report(f"kills, idempotent={idempotent}"), list[Strike]()
    with call(HEAD, [version], size, idempotent=idempotent) as load:
        plan = _plan(cluster, size)
        for number, (name, act, harms) in enumerate(plan):
            load.wait_for_share((number + 0.5) / len(plan))
            cluster.show(name)
            began = time.monotonic()
            dead = act()
            if not size.is_short:
                _wait_without(cluster, dead)
                cluster.show("all replicas run")
            strikes.append(Strike(name, began, time.monotonic() - began, harms))
    _judge(report, load, strikes, idempotent=idempotent)
    show(report)
    return report


def _plan(cluster: Cluster, size: Size) -> list[_Planned]:
    """Return what is done, one after the other."""
    first, second = cluster.workers
    plan = [
        _Planned("a replica killed", lambda: _kill_replica(second)),
        _Planned("a node killed", lambda: _kill_node(cluster, first)),
        _Planned("the node started again", lambda: _start(cluster, first), harms=False),
        _Planned("a second replica killed", lambda: _kill_replica(second)),
        _Planned("a node cut off for 4 s", lambda: _cut_off(second)),
        _Planned("a node cut off for long", lambda: _cut_off_long(cluster, second)),
        _Planned("the node joined and started", lambda: _join(cluster, second), harms=False),
    ]
    return plan[:2] if size.is_short else plan


def _kill_replica(node: Node) -> _Dead:
    victim = random.choice(node.find_processes(REPLICA))  # noqa: S311
    dead = {(node.address, node.number_inside(victim))}
    os.kill(victim, signal.SIGKILL)
    return dead


def _kill_node(cluster: Cluster, node: Node) -> _Dead:
    dead = _replicas_of(cluster, node)
    node.kill()
    return dead


def _start(cluster: Cluster, node: Node) -> _Dead:
    cluster.start_nodes(node)
    return set()


def _cut_off(node: Node) -> _Dead:
    """Cut a node off for less than Ray takes to give it up."""
    node.cut_off()
    time.sleep(_BLINK)
    node.join()
    return set()


def _cut_off_long(cluster: Cluster, node: Node) -> _Dead:
    dead = _replicas_of(cluster, node)
    node.cut_off()
    return dead


def _join(cluster: Cluster, node: Node) -> _Dead:
    """Join a node that was given up: Ray ends on it, and what supervises it starts it again."""
    node.join()
    cluster.wait(f"the end of {node.name}", lambda: not node.is_running)
    return _start(cluster, node)


def _replicas_of(cluster: Cluster, node: Node) -> _Dead:
    found = cluster.replicas(APPLICATION)
    return {(each["node_ip"], each["pid"]) for each in found if each["node_ip"] == node.address}


def _wait_without(cluster: Cluster, dead: _Dead) -> None:
    """Wait until all replicas run, and none of them is of the dead."""

    def is_whole() -> bool:
        running = {(each["node_ip"], each["pid"]) for each in cluster.replicas(APPLICATION)}
        return len(running) == REPLICAS and not running & dead

    cluster.wait(f"{REPLICAS} replicas", is_whole, cluster.explain)


def _begin(cluster: Cluster, version: Version) -> None:
    """Deploy anew, so that both workers have replicas: Serve does not move those that run."""
    cluster.start_nodes(*(node for node in cluster.workers if not node.is_running))
    clear(cluster)
    start(cluster, version)


def _judge(report: Report, load: Load, strikes: list[Strike], *, idempotent: bool) -> None:
    report.summary = found = summarize(load, (each.moment for each in strikes if each.harms))
    ends = [*(strike.moment for strike in strikes[1:]), time.monotonic()]
    for strike, end in zip(strikes, ends, strict=True):
        report.figures[strike.name] = {
            "done, and all replicas ran, after s": round(strike.seconds, 1),
            "longest time without an answer, s": find_gap(load, strike.moment, end),
        }
    report.expect(found.calls >= load.threads * load.calls, f"{found.calls} calls have ended")
    report.expect(not found.wrong, f"{found.wrong} answers are wrong")
    report.expect(not found.untyped, f"{found.untyped} errors have no type")
    lost = found.calls - found.right - found.wrong
    if idempotent:
        report.expect(not lost, f"{lost} calls are lost")
    report.expect(found.most <= 1, f"a thread had {found.most} errors after one strike")


SCENARIO = Scenario(_run)
