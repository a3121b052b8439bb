"""From one replica to four under load, and back without."""

from __future__ import annotations

from ray_faults.archives import Version
from ray_faults.cluster import HEAD, Cluster
from ray_faults.load import Load, summarize

from .scenario import APPLICATION, REPLICAS, Report, Scenario, Size, show, start, url

_AUTOSCALING = {
    "min_replicas": 1,
    "max_replicas": REPLICAS,
    "target_ongoing_requests": 1,
    "upscale_delay_s": 2,
    "downscale_delay_s": 5,
}


def _run(cluster: Cluster, versions: list[Version], size: Size) -> list[Report]:
    [version] = versions
    start(cluster, version, autoscaling=_AUTOSCALING)
    report = Report("autoscaling from 1 to 4 replicas and back, retries=3")
    with Load(url(HEAD), [version], threads=size.threads, calls=1, seconds=0, waits=(0.2,)) as load:
        up = cluster.wait_running(APPLICATION, REPLICAS)
    report.figures["from 1 to 4 under load, s"] = round(up, 1)
    report.figures["from 4 to 1 without, s"] = round(cluster.wait_running(APPLICATION, 1), 1)
    report.summary = found = summarize(load, ())
    report.expect(found.right == found.calls, f"{found.calls - found.right} calls failed")
    show(report)
    return [report]


SCENARIO = Scenario(_run)
