"""MLServer with Triton's client, over gRPC.

Over HTTP it accepts only numbers in JSON. Over gRPC it turns raw tensors of floats into lists of
Python numbers; the fastest way for arrays is one element of the type ``BYTES``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from serving_benchmark.models import REPLIES
from serving_benchmark.processes import free_ports, running

from .system import Endpoint, Place, Predict, System, answers, module


@contextmanager
def start(place: Place) -> Iterator[Endpoint]:
    """Serve with one worker for inference, which is MLServer's default."""
    names = ("http_port", "grpc_port", "metrics_port")
    ports = dict(zip(names, free_ports(3), strict=True))
    settings = {"debug": False, "host": "127.0.0.1", **ports, "parallel_workers": 1}
    settings["grpc_max_message_length"] = 2**31 - 1
    _write(place, "settings.json", settings)
    implementation = {"implementation": "serving_benchmark.servers.mlserver.Model"}
    _write(place, "model-settings.json", {"name": "model", **implementation})
    command = [place.python.parent / "mlserver", "start", place.folder]
    ready = partial(answers, f"http://127.0.0.1:{ports['http_port']}/v2/models/model/ready")
    with running(command, place.folder, ready, module(place.task)) as server:
        yield Endpoint(server, {"url": f"127.0.0.1:{ports['grpc_port']}"})


def _write(place: Place, name: str, content: dict[str, Any]) -> None:
    (place.folder / name).write_text(json.dumps(content), "utf-8")


def connect(address: dict[str, Any], task: str) -> Predict:
    """Return a call of Triton's client."""
    from tritonclient import grpc  # noqa: PLC0415 - in its environment only

    client, shape = grpc.InferenceServerClient(address["url"]), REPLIES[task]

    def predict(array: np.ndarray) -> np.ndarray:
        tensor = grpc.InferInput("x", [1], "BYTES")
        tensor.set_data_from_numpy(np.array([array.tobytes()], object))
        reply = client.infer("model", [tensor]).as_numpy("y")
        return np.frombuffer(reply[0], np.float32).reshape(shape)

    return predict


SYSTEMS = (
    System(
        "mlserver",
        "MLServer",
        start,
        "mlserver",
        "mlserver",
        (
            "mlserver==1.7.1",
            "uvloop==0.21.0",  # with later ones its workers do not start
            "tritonclient[grpc]==2.73.0",
            "torch",
            "numpy==2.4.6",
        ),
        ("mlserver", "tritonclient", "grpcio"),
    ),
)
