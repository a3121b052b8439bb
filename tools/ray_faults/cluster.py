"""A head and two workers, and what Serve runs on them.

The head has no cores for models, as Ray's documentation advises; like the workers it has a proxy.
The configuration is one for ``serve run`` and ``serve deploy``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .asking import Control
from .node import Node

HEAD = "10.99.0.1"
#: Of the proxies.
PORT = 8000
_GCS = 6379
_CORES = 4
_STARTS = 10
_POLL = 0.25


class TooLate(RuntimeError):
    """Something did not happen, or not in time; the message has what was seen last."""


class Cluster:
    """Three nodes.

    :param variables: of the environment of each node; ``head_variables``: of the head's too.
    :param patience: seconds for anything to happen.
    """

    def __init__(
        self,
        variables: Mapping[str, str],
        head_variables: Mapping[str, str],
        patience: float = 300.0,
    ) -> None:
        head = ["--head", f"--port={_GCS}", "--num-cpus=0", "--include-dashboard=false"]
        worker = [f"--address={HEAD}:{_GCS}", f"--num-cpus={_CORES}"]
        self.head = Node("head", 1, head, {**variables, **head_variables})
        self.workers = [Node(f"worker-{n}", n + 1, worker, variables) for n in (1, 2)]
        self.patience = patience
        self._began = time.monotonic()
        self._control = Control(self.head, f"{HEAD}:{_GCS}")

    @property
    def nodes(self) -> list[Node]:
        """The head, then the workers."""
        return [self.head, *self.workers]

    def start(self) -> None:
        """Start all nodes, and wait until the head knows them."""
        self.start_nodes(self.head)
        self.start_nodes(*self.workers)

    def start_nodes(self, *nodes: Node) -> None:
        """Start nodes, and wait until the head knows them; again where Ray gives up.

        Ray gives its processes 15 s to start, which is little on a busy machine.
        """
        if not nodes:
            return
        for node in nodes:
            node.start()
        self.show(f"{_names(nodes)}: started")
        for node in nodes:
            self._wait_for(node)
        self.show(f"{_names(nodes)}: the head knows it")

    def _wait_for(self, node: Node) -> None:
        for _ in range(_STARTS):
            self.wait(node.name, lambda: self._is_decided(node))
            if not node.has_failed:
                return
            self.show(f"{node.name}: Ray gave up; started again")
            node.start()
        raise TooLate(f"{node.name} ended: {node.log.read_text('utf-8', 'replace')}")

    def list_alive(self) -> list[str]:
        """Return the addresses of the nodes that the head believes to be alive."""
        found: list[str] = self._control.ask("nodes")
        return found

    def deploy(self, configuration: Mapping[str, object]) -> None:
        """Give Serve a configuration, and do not wait for it; the first time, start Serve."""
        self._control.ask("deploy", configuration=configuration)
        self.show("Serve has the configuration")

    def applications(self) -> dict[str, Any]:
        """Return what Serve says of each application."""
        found: dict[str, Any] = self._control.ask("details").get("applications", {})
        return found

    def replicas(self, application: str) -> list[dict[str, Any]]:
        """Return what Serve says of each running replica of an application."""
        found = self.applications().get(application, {}).get("deployments", {})
        return [
            replica
            for deployment in found.values()
            for replica in deployment["replicas"]
            if replica["state"] == "RUNNING"
        ]

    def wait_running(self, application: str, replicas: int) -> float:
        """Wait until an application runs with so many replicas; return the seconds that took."""
        began = time.monotonic()

        def runs() -> bool:
            found = self.applications().get(application, {})
            return found.get("status") == "RUNNING" and len(self.replicas(application)) == replicas

        self.wait(f"{application} with {replicas} replicas", runs, self.explain)
        return time.monotonic() - began

    def wait_proxies(self) -> None:
        """Wait until the proxies of the head, and of each node with a replica, answer."""

        def all_answer() -> bool:
            details = self._control.ask("details")
            healthy = {
                each["node_ip"]
                for each in details["proxies"].values()
                if each["status"] == "HEALTHY"
            }
            needed = {
                replica["node_ip"]
                for application in details["applications"]
                for replica in self.replicas(application)
            }
            return {HEAD, *needed} <= healthy

        self.wait("the proxies", all_answer)

    def wait_status(self, application: str, status: str) -> str:
        """Wait for a status of an application, and return its message."""
        self.wait(
            f"{application} {status}",
            lambda: self.applications().get(application, {}).get("status") == status,
            self.explain,
        )
        return str(self.applications()[application]["message"])

    def wait(
        self,
        what: str,
        happened: Callable[[], bool],
        explain: Callable[[], str] = lambda: "",
    ) -> None:
        """Wait until something has happened.

        :raises TooLate: if that takes more than the patience.
        """
        deadline = time.monotonic() + self.patience
        last = ""
        while True:
            try:
                if happened():
                    return
                last = ""
            except (OSError, KeyError, ValueError) as error:  # the head may be away
                last = f"{type(error).__name__}: {error}"
            if time.monotonic() > deadline:
                raise TooLate(f"{what}: not in {self.patience:g} s; {last or explain()}")
            time.sleep(_POLL)

    def explain(self) -> str:
        """Return what Serve says of its applications, as far as it can be asked."""
        try:
            found = self.applications()
        except (OSError, ValueError) as error:
            return f"Serve cannot be asked: {error}"
        return json.dumps(
            {
                name: {
                    "status": application["status"],
                    "message": application["message"],
                    "replicas": {
                        deployment: [replica["state"] for replica in each["replicas"]]
                        for deployment, each in application.get("deployments", {}).items()
                    },
                }
                for name, application in found.items()
            },
            indent=1,
        )

    def show(self, text: str) -> None:
        """Print what happens, and when."""
        print(f"{time.monotonic() - self._began:7.1f} s: {text}", file=sys.stderr, flush=True)

    def _is_decided(self, node: Node) -> bool:
        """Whether a node that starts is known, or has failed."""
        for each in self.nodes:
            each.be_patient()
        return node.has_failed or self._knows(node)

    def _knows(self, node: Node) -> bool:
        return node.has_started and node.address in self.list_alive()


def _names(nodes: Iterable[Node]) -> str:
    return ", ".join(node.name for node in nodes)


@contextmanager
def running(
    variables: Mapping[str, str], head_variables: Mapping[str, str], keep_logs: Path | None
) -> Iterator[Cluster]:
    """Start a cluster, and end it.

    :param variables: as of :class:`Cluster`, with ``head_variables``.
    :param keep_logs: a folder for the logs of all nodes; they vanish with the lab otherwise.
    """
    cluster = Cluster(variables, head_variables)
    try:
        cluster.start()
        yield cluster
    finally:
        for node in cluster.nodes:
            node.kill()
        if keep_logs is not None:
            _copy_logs(cluster, keep_logs)


def _copy_logs(cluster: Cluster, target: Path) -> None:
    for node in cluster.nodes:
        for log in node.folder.rglob("*"):
            if log.suffix in (".log", ".out", ".err") and log.is_file() and not log.is_symlink():
                copy = target / log.relative_to(node.folder.parent)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(log.read_bytes())
