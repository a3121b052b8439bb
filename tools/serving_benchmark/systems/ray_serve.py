"""Ray Serve: its own deployment of bytes to bytes, and our archive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from serving_benchmark.processes import free_ports, running

from .system import LARGEST, Endpoint, Place, System, allocator, answers, module

#: What its guide to performance recommends, and normal priority for its workers (not "nice").
_VARIABLES = {
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_worker_niceness": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@contextmanager
def start(place: Place) -> Iterator[Endpoint]:
    """Serve with one replica on a Ray of its own: bytes in, bytes out."""
    yield from _serve(place, "ray_serve", [], {}, "-/healthz", "")


@contextmanager
def start_archive(place: Place) -> Iterator[Endpoint]:
    """Serve our archive in the same way, with the allocator as our Serve config sets it."""
    arguments = [str(place.archives / f"{place.task}.mar"), str(LARGEST)]
    probe, path = "v2/health/ready", f"predictions/{place.task}"
    yield from _serve(place, "eisen_ray", arguments, allocator(), probe, path)


def _serve(
    place: Place,
    server: str,
    arguments: Sequence[str],
    variables: Mapping[str, str],
    probe: str,
    path: str,
) -> Iterator[Endpoint]:
    port = free_ports(1)[0]
    command = [place.python, "-m", f"serving_benchmark.servers.{server}", str(port), *arguments]
    url = f"http://127.0.0.1:{port}/"
    ready = partial(answers, f"{url}{probe}")
    environment = {**_VARIABLES, **variables, **module(place.task)}
    with running(command, place.folder, ready, environment) as started:
        yield Endpoint(started, {"url": f"{url}{path}", "token": None})


SYSTEMS = (
    System(
        "eisen-serve-ray",
        "Eisen-Deploy on Ray Serve",
        start_archive,
        "torchserve",  # the client is the same
        "eisen-ray",
        (
            "--editable=packages/handler[ray]",
            "--editable=packages/client",
            *("ray[serve]==2.60.0", "torch", "numpy==2.4.6", "requests==2.34.2"),
        ),
        ("ray", "starlette", "uvicorn", "torch", "numpy", "requests", "urllib3"),
    ),
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
