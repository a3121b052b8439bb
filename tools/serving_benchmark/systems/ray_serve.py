"""Ray Serve: the bytes of the array as the request's body, and a response of bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from serving_benchmark.processes import free_ports, running

from .system import Endpoint, Place, System, answers, module

#: What its guide to performance recommends, and normal priority for its workers (not "nice").
_VARIABLES = {
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_worker_niceness": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@contextmanager
def start(place: Place) -> Iterator[Endpoint]:
    """Serve with one replica on a Ray of its own."""
    port = free_ports(1)[0]
    command = [place.python, "-m", "serving_benchmark.servers.ray_serve", str(port)]
    url = f"http://127.0.0.1:{port}/"
    ready = partial(answers, f"{url}-/healthz")
    with running(command, place.folder, ready, {**_VARIABLES, **module(place.task)}) as server:
        yield Endpoint(server, {"url": url})


SYSTEMS = (
    System(
        "ray-serve",
        "Ray Serve",
        start,
        "http",
        "ray-serve",
        ("ray[serve]==2.60.0", "torch", "numpy==2.4.6", "requests==2.34.2"),
        ("ray", "starlette", "uvicorn"),
    ),
)
