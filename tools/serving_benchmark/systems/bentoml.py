"""BentoML with its own client.

The client sends a numpy array as numbers in JSON, and a file unchanged. The type ``bytes`` is the
fastest that it offers: the array's bytes are the body, both ways.
"""

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
def start(place: Place) -> Iterator[Endpoint]:
    """Serve with ``bentoml serve``."""
    port = free_ports(1)[0]
    command = [place.python.parent / "bentoml", "serve", "serving_benchmark.servers.bentoml:Model"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    variables = {"BENTOML_HOME": str(place.folder / "home"), "BENTOML_DO_NOT_TRACK": "true"}
    ready = partial(answers, f"{url}/readyz")
    with running(command, place.folder, ready, {**variables, **module(place.task)}) as server:
        yield Endpoint(server, {"url": url, "method": "of_bytes"})


@contextmanager
def start_numbers(place: Place) -> Iterator[Endpoint]:
    """Serve the same, and call the method that takes numpy arrays."""
    with start(place) as endpoint:
        yield endpoint._replace(address={**endpoint.address, "method": "of_array"})


def connect(address: dict[str, Any], task: str) -> Predict:
    """Return a call of BentoML's client."""
    import bentoml  # noqa: PLC0415 - in its environment only

    client = bentoml.SyncHTTPClient(address["url"], timeout=900)
    shape = REPLIES[task]

    def of_bytes(array: np.ndarray) -> np.ndarray:
        reply = client.call("of_bytes", array.tobytes())
        return np.frombuffer(reply, np.float32).reshape(shape)

    def of_array(array: np.ndarray) -> np.ndarray:
        return np.asarray(client.call("of_array", x=array), np.float32).reshape(shape)

    return {"of_bytes": of_bytes, "of_array": of_array}[address["method"]]


_REQUIREMENTS = ("bentoml==1.4.39", "torch", "numpy==2.4.6", "pillow")

SYSTEMS = (
    System(
        "bentoml",
        "BentoML",
        start,
        "bentoml",
        "bentoml",
        _REQUIREMENTS,
        ("bentoml", "starlette", "uvicorn"),
    ),
    System(
        "bentoml-numpy",
        "BentoML, ``np.ndarray``",
        start_numbers,
        "bentoml",
        "bentoml",
        _REQUIREMENTS,
        largest=588 * KIB,
        reason="numbers as text",
    ),
)
