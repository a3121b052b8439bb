"""What the driver of a local Ray is told; importing this needs neither torch nor Ray."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Work:
    """What the driver is told.

    :param arguments: those of :class:`eisen_deploy.serving.ray.Arguments`.
    :param http_options: of Ray Serve.
    :param ready_urls: answer 200 once the models answer.
    :param port: on which Ray's own processes find each other; ``clients_port`` is for remote
        clients, where Ray insists on it.
    :param temporary: Ray's folder; the paths of its sockets have 107 bytes at most.
    :param logs: the folder for Ray Serve's logs.
    :param cpus: that Ray may assign; ``gpus`` likewise.
    :param link: the descriptor on which it says what becomes of it.
    """

    arguments: Mapping[str, object]
    http_options: Mapping[str, object]
    ready_urls: Sequence[str]
    port: int
    clients_port: int
    temporary: str
    logs: str
    cpus: int
    gpus: int
    link: int = -1

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self))
