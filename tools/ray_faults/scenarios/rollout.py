"""Two rolling updates while clients call; no call fails, and each answer is of one version."""

from __future__ import annotations

import time

from ray_faults.archives import Version
from ray_faults.cluster import HEAD, Cluster
from ray_faults.load import summarize

from .scenario import (
    APPLICATION,
    REPLICAS,
    Report,
    Scenario,
    Size,
    call,
    configure,
    show,
    start,
)


def _run(cluster: Cluster, versions: list[Version], size: Size) -> list[Report]:
    start(cluster, versions[0])
    report = Report("rolling updates, retries=0")
    with call(HEAD, versions, size, retries=0) as load:
        for share, version in ((0.15, versions[1]), (0.55, versions[2])):
            load.wait_for_share(share)
            began = time.monotonic()
            cluster.deploy(configure(version))
            _wait_for(cluster, version.digest)
            seconds = round(time.monotonic() - began, 1)
            report.figures[f"to version {version.number}, s"] = seconds
    report.summary = found = summarize(load, ())
    report.expect(found.right == found.calls, f"{found.calls - found.right} calls failed")
    report.expect(
        len(found.by_version) == len(versions), f"not all versions answered: {found.by_version}"
    )
    show(report)
    return [report]


def _wait_for(cluster: Cluster, digest: str) -> None:
    """Wait until all replicas are of the archive with a digest, and no other one is left."""

    def is_done() -> bool:
        found = cluster.applications()[APPLICATION]
        [deployment] = found["deployments"].values()
        states = [replica["state"] for replica in deployment["replicas"]]
        return (
            found["status"] == "RUNNING"
            and digest in str(found["deployed_app_config"])
            and states == ["RUNNING"] * REPLICAS
        )

    cluster.wait("the update", is_done, cluster.explain)


SCENARIO = Scenario(_run, versions=3)
