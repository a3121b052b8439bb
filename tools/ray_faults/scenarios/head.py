"""The head is killed and started again while clients call another node's proxy.

What the head knows, it keeps in Redis: otherwise Ray itself forgets its cluster.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ray_faults import lab
from ray_faults.archives import Version
from ray_faults.cluster import Cluster
from ray_faults.load import find_gap, summarize

from .scenario import (
    APPLICATION,
    REPLICA,
    REPLICAS,
    Report,
    Scenario,
    Setting,
    Size,
    call,
    show,
    start,
)

_PORT = 6380
# Seconds without a head.
_ABSENCE = 10.0


@contextmanager
def _redis() -> Iterator[str | None]:
    """Run Redis beside the nodes; yield why that cannot be."""
    if shutil.which("redis-server") is None:
        yield "redis-server is not installed"
        return
    folder = lab.FOLDER / "redis"
    folder.mkdir()
    command = ["redis-server", "--bind", lab.ADDRESS, "--port", _PORT, "--dir", folder]
    command += ["--protected-mode", "no", "--logfile", folder / "redis.log"]
    server = subprocess.Popen([str(part) for part in command])
    try:
        yield None
    finally:
        server.kill()
        server.wait()


def _run(cluster: Cluster, versions: list[Version], size: Size) -> list[Report]:
    [version] = versions
    start(cluster, version)
    report = Report("the head killed and started again, idempotent=True")
    address = cluster.workers[0].address
    with call(address, [version], size, idempotent=True) as load:
        load.wait_for_share(0.2)
        began = time.monotonic()
        cluster.head.kill()
        time.sleep(_ABSENCE)
        cluster.start_nodes(cluster.head)
        cluster.wait_running(APPLICATION, REPLICAS)
        back = time.monotonic()
        report.figures["without a head, s"] = _ABSENCE
        report.figures["the head answered again after s"] = round(back - began, 1)
        report.figures["a killed replica was replaced after s"] = _kill_replica(cluster)
    report.summary = found = summarize(load, [began])
    gap = find_gap(load, began, back)
    report.figures["longest time without an answer, s"] = gap
    lost = found.calls - found.right - found.wrong
    report.expect(not found.wrong, f"{found.wrong} answers are wrong")
    report.expect(not lost, f"{lost} calls are lost")
    report.expect(not found.untyped, f"{found.untyped} errors have no type")
    show(report)
    return [report]


def _kill_replica(cluster: Cluster) -> float:
    """Kill a replica, which only a head that works can replace; return the seconds."""
    node = cluster.workers[0]
    victim = node.find_processes(REPLICA)[0]
    inside = node.number_inside(victim)
    began = time.monotonic()
    os.kill(victim, signal.SIGKILL)

    def is_replaced() -> bool:
        running = {(each["node_ip"], each["pid"]) for each in cluster.replicas(APPLICATION)}
        return len(running) == REPLICAS and (node.address, inside) not in running

    cluster.wait("a new replica", is_replaced, cluster.explain)
    return round(time.monotonic() - began, 1)


SCENARIO = Scenario(
    _run,
    setting=Setting(
        # The workers wait for the head for as long as it takes.
        variables={"RAY_gcs_rpc_server_reconnect_timeout_s": "600"},
        head_variables={"RAY_REDIS_ADDRESS": f"{lab.ADDRESS}:{_PORT}"},
        beside=_redis,
    ),
)
