"""A socket that moves bytes, without a protocol: this is what the machine and the model allow."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from serving_benchmark import models
from serving_benchmark.processes import free_ports, running

from .system import Endpoint, Place, Predict, System, allocator, module


@contextmanager
def start(place: Place) -> Iterator[Endpoint]:
    """Serve from a process of plain Python."""
    port = free_ports(1)[0]
    command = [place.python, "-m", "serving_benchmark.servers.raw_socket", str(port)]
    ready = partial(_listens, port)
    variables = {**allocator(), **module(place.task)}
    with running(command, place.folder, ready, variables) as server:
        yield Endpoint(server, {"port": port})


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def connect(address: dict[str, Any], task: str) -> Predict:
    """Return a call."""
    sock = socket.create_connection(("127.0.0.1", address["port"]))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def predict(array: np.ndarray) -> np.ndarray:
        reply = np.empty(array.shape if task == "echo" else models.REPLIES[task], np.float32)
        sock.sendall(array.nbytes.to_bytes(8, "little"))
        sock.sendall(memoryview(array).cast("B"))
        rest = memoryview(reply).cast("B")
        while rest:
            received = sock.recv_into(rest)
            if not received:
                raise ConnectionError("the server left")
            rest = rest[received:]
        return reply

    return predict


SYSTEMS = (
    System(
        "raw-socket",
        "Raw socket",
        start,
        "raw_socket",
        "",
        (),
        tasks=("echo", "unet"),
    ),
)
