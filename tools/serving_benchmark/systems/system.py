"""What the benchmark knows of a system; ``docs/serving-benchmark.rst`` says how each is used."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from serving_benchmark.processes import Server

TOOLS = Path(__file__).resolve().parents[2]
KIB = 2**10
MIB = 2**20
#: The limit of bodies that is set on our own servers.
LARGEST = 640 * MIB

#: Makes one call, array to array.
Predict = Callable[[np.ndarray], np.ndarray]


class Place(NamedTuple):
    """Where and what to serve.

    :param python: the interpreter of the system's environment.
    :param folder: for the server's files, its own.
    :param task: which model; for ``echo``, ``unet`` and ``cnn`` see ``models``.
    :param archives: the folder with the models as archives for TorchServe.
    """

    python: Path
    folder: Path
    task: str
    archives: Path


class Endpoint(NamedTuple):
    """A running server, and what its client has to know, as JSON."""

    server: Server
    address: dict[str, Any]


@dataclass(frozen=True)
class System:
    """One system.

    :param title: in the tables, reStructuredText.
    :param start: starts a server and ends it.
    :param client: the module of ``systems`` with the function ``connect``; it is imported in the
        system's environment.
    :param environment: the name of its virtual environment.
    :param requirements: what is installed there, pinned; if empty, the system runs in the
        environment of the benchmark itself.
    :param versions_shown: the distributions whose versions the page shows.
    :param tasks: the tasks that it can serve.
    :param largest: the most bytes of all arrays at once; ``reason`` says why not more.
    """

    name: str
    title: str
    start: Callable[[Place], AbstractContextManager[Endpoint]]
    client: str
    environment: str
    requirements: tuple[str, ...]
    versions_shown: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ("echo", "unet", "cnn", "cnn-batched")
    largest: int = 2**31
    reason: str = ""

    def lacks(self, task: str, size: int) -> str:
        """Return why the system is not measured, or an empty text."""
        if task not in self.tasks:
            return "it only moves bytes"
        return self.reason if size > self.largest else ""


def module(name: str) -> dict[str, str]:
    """Return the variables that let a server's process import this package."""
    return {"PYTHONPATH": str(TOOLS), "BENCHMARK_TASK": name}


def allocator() -> dict[str, str]:
    """Return how eisen-serve sets malloc: without it, page faults are what limits a large body."""
    from eisen_deploy.serving.engines.environment.allocator import ALLOCATOR  # noqa: PLC0415

    return {each.name: each.value for each in ALLOCATOR}


def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except (OSError, urllib.error.HTTPError):
        return False
