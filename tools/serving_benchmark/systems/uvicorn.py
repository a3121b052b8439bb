"""uvicorn: our archive on ``eisen-serve run --engine uvicorn``, and an echo without a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from serving_benchmark.processes import free_ports, running

from .system import LARGEST, Endpoint, Place, System, allocator, answers, module

_ECHO = "serving_benchmark.servers.asgi_echo:echo"
_QUIET = ("--no-access-log", "--log-level", "warning", "--lifespan", "off")
# A server that is halted while others are measured would miss the signs of life of its workers.
_PATIENT = ("--silence", "1000000")


@contextmanager
def start_archive(place: Place) -> Iterator[Endpoint]:
    """Serve our archive with ``eisen-serve run --engine uvicorn``."""
    archive = place.archives / f"{place.task}.mar"
    command = [place.python.parent / "eisen-serve", "run", archive, "--engine", "uvicorn"]
    command += ["--workers", "1", "--max-body", str(LARGEST), *_PATIENT]
    yield from _serve(place, command, f"predictions/{place.task}", "v2/health/ready")


@contextmanager
def start_echo(place: Place) -> Iterator[Endpoint]:
    """Serve the application that returns what it gets, with the same parser and event loop."""
    command = [place.python, "-m", "uvicorn", _ECHO, "--http", "httptools", "--loop", "uvloop"]
    variables = {**allocator(), **module(place.task)}
    yield from _serve(place, [*command, *_QUIET], "predictions/echo", "", variables)


def _serve(
    place: Place,
    command: Sequence[str | Path],
    path: str,
    probe: str,
    variables: dict[str, str] | None = None,
) -> Iterator[Endpoint]:
    port = str(free_ports(1)[0])
    url = f"http://127.0.0.1:{port}"
    ready = partial(answers, f"{url}/{probe}")
    with running([*command, "--port", port], place.folder, ready, variables) as server:
        yield Endpoint(server, {"url": f"{url}/{path}", "token": None})


_REQUIREMENTS = (
    "--editable=packages/handler[uvicorn]",
    "--editable=packages/client",
    *("torch", "numpy==2.4.6", "requests==2.34.2", "uvicorn==0.54.0"),
)
_VERSIONS_SHOWN = ("uvicorn", "httptools", "uvloop", "torch", "numpy", "requests", "urllib3")

SYSTEMS = (
    System(
        "eisen-serve-uvicorn",
        "Eisen-Deploy on uvicorn",
        start_archive,
        "torchserve",  # the client is the same
        "uvicorn",
        _REQUIREMENTS,
        _VERSIONS_SHOWN,
    ),
    System(
        "asgi-echo",
        "Bare ASGI echo",
        start_echo,
        "torchserve",
        "uvicorn",
        _REQUIREMENTS,
        tasks=("echo",),
    ),
)
