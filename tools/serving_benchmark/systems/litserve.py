"""LitServe: the bytes of the array as the request's body, and a response of bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from serving_benchmark.models import REPLIES
from serving_benchmark.processes import free_ports, running

from .system import KIB, Endpoint, Place, Predict, System, answers, module


@contextmanager
def start(place: Place, kind: str) -> Iterator[Endpoint]:
    """Serve bytes or JSON."""
    port = free_ports(1)[0]
    command = [place.python, "-m", "serving_benchmark.servers.litserve", kind, str(port)]
    url = f"http://127.0.0.1:{port}"
    ready = partial(answers, f"{url}/health")
    with running(command, place.folder, ready, module(place.task)) as server:
        yield Endpoint(server, {"url": f"{url}/predict"})


def connect(address: dict[str, Any], task: str) -> Predict:
    """Return a call with numbers in JSON, as in LitServe's first example."""
    import requests  # noqa: PLC0415 - in its environment only

    session, shape = requests.Session(), REPLIES[task]
    session.headers["Accept-Encoding"] = "identity"  # as in http

    def predict(array: np.ndarray) -> np.ndarray:
        reply = session.post(address["url"], json={"x": array.tolist()}, timeout=900)
        reply.raise_for_status()
        return np.array(reply.json()["y"], np.float32).reshape(shape)

    return predict


_REQUIREMENTS = ("litserve==0.2.19", "torch", "numpy==2.4.6", "requests==2.34.2")

SYSTEMS = (
    System(
        "litserve",
        "LitServe",
        partial(start, kind="bytes"),
        "http",
        "litserve",
        _REQUIREMENTS,
        ("litserve", "fastapi", "uvicorn"),
    ),
    System(
        "litserve-json",
        "LitServe, JSON",
        partial(start, kind="json"),
        "litserve",
        "litserve",
        _REQUIREMENTS,
        largest=588 * KIB,
        reason="numbers as text",
    ),
)
