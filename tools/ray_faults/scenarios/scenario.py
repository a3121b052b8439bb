"""What all scenarios have: their size, a deployment, and a report."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ray_faults import lab
from ray_faults.archives import Version
from ray_faults.cluster import PORT, Cluster
from ray_faults.load import Load, Summary

#: The name of the application.
APPLICATION = "model"
REPLICAS = 4
#: In the command line of a replica.
REPLICA = "ray::ServeReplica"
_TIMEOUT = 30
_SERVE: dict[str, object] = {
    "proxy_location": "EveryNode",
    # Twice the response timeout and 30 s more, as the documentation advises.
    "http_options": {"host": "0.0.0.0", "port": PORT, "request_timeout_s": 2 * _TIMEOUT + 30},  # noqa: S104
}


@dataclass(frozen=True)
class Size:
    """How much is done.

    :param seconds: over which the calls are spread at least.
    :param is_short: whether each kind of strike is left out that is like another.
    """

    threads: int = 8
    calls: int = 500
    seconds: float = 240.0
    is_short: bool = False


@dataclass
class Report:
    """The figures of one part of a scenario, and what was not as it has to be."""

    name: str
    summary: Summary | None = None
    figures: dict[str, object] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def expect(self, is_so: bool, problem: str) -> None:
        """Note a problem, unless something is so."""
        if not is_so:
            self.problems.append(problem)


def show(report: Report) -> None:
    """Print a report."""
    print(json.dumps({"load": os.getloadavg(), **asdict(report)}, indent=1), flush=True)


@dataclass(frozen=True)
class Setting:
    """The cluster that a scenario needs; those with equal ones share it.

    :param variables: of the environment of all nodes; ``head_variables``: of the head's too.
    :param beside: what runs beside the nodes; it yields why it cannot, if so.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    head_variables: Mapping[str, str] = field(default_factory=dict)
    beside: Callable[[], AbstractContextManager[str | None]] = nullcontext


@dataclass(frozen=True)
class Scenario:
    """Something to show.

    :param versions: how many of the model it needs.
    """

    run: Callable[[Cluster, list[Version], Size], list[Report]]
    versions: int = 1
    setting: Setting = Setting()


def store() -> Path:
    """Return the folder for archives that all nodes see."""
    folder = lab.FOLDER / "store"
    folder.mkdir(exist_ok=True)
    return folder


def configure(version: Version, **arguments: object) -> dict[str, object]:
    """Return a configuration of Serve with one archive."""
    archive = {"url": str(version.path), "digest": version.digest}
    if "autoscaling" not in arguments:
        arguments.setdefault("replicas", REPLICAS)
    return {
        **_SERVE,
        "applications": [
            {
                "name": APPLICATION,
                "route_prefix": "/",
                "import_path": "eisen_deploy.serving.ray:build",
                "args": {"archives": [archive], "response_timeout": _TIMEOUT, **arguments},
            }
        ],
    }


def start(cluster: Cluster, version: Version, **arguments: object) -> None:
    """Deploy a version, and wait until its replicas and all proxies run."""
    cluster.deploy(configure(version, **arguments))
    cluster.wait_running(APPLICATION, 1 if "autoscaling" in arguments else REPLICAS)
    cluster.wait_proxies()
    cluster.show("all replicas and all proxies run")


def call(address: str, versions: list[Version], size: Size, **options: Any) -> Load:
    """Return calls through the proxy of a node, as many as a scenario of this size has."""
    many = {"threads": size.threads, "calls": size.calls, "seconds": size.seconds}
    return Load(url(address), versions, **many, **options)


def clear(cluster: Cluster) -> None:
    """End the application, if there is one."""
    if APPLICATION in cluster.applications():
        cluster.deploy({**_SERVE, "applications": []})
        cluster.wait("the end of the application", lambda: not cluster.applications())


def url(address: str) -> str:
    """Return where the model answers behind the proxy of a node."""
    return f"http://{address}:{PORT}/predictions/model"
