"""One system that serves one task, with a client of its own; halted while it is not its turn."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from .environments import interpreter
from .processes import NotStarted, clean_environment
from .systems import SYSTEMS, Endpoint, Place, System
from .systems.system import TOOLS

_SETTLE = 0.3


class Contestant:
    """A running server and its client."""

    def __init__(
        self, system: System, task: str, endpoint: Endpoint, client: subprocess.Popen[str]
    ) -> None:
        self.system = system
        self.task = task
        self.server = endpoint.server
        self._address = endpoint.address
        self._client = client

    def ask(self, work: str, size: int, calls: int = 1, warm: int = 0, threads: int = 1) -> Any:
        """Let the client work, and return its answer."""
        command = {
            "work": work,
            "client": self.system.client,
            "address": self._address,
            "task": self.task,
            "size": size,
            "calls": calls,
            "warm": warm,
            "threads": threads,
        }
        requests, answers = self._client.stdin, self._client.stdout
        if requests is None or answers is None:
            raise ValueError("the client was started without pipes")
        requests.write(f"{json.dumps(command)}\n")
        requests.flush()
        line = answers.readline()
        return json.loads(line) if line else {"failed": "its client ended"}

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Let the server go on, and halt it again."""
        self.server.resume()
        time.sleep(_SETTLE)
        try:
            yield
        finally:
            self.server.halt()


@contextmanager
def contestant(name: str, task: str, archives: Path) -> Iterator[Contestant]:
    """Start one system with one task and its client; end both.

    :raises NotStarted: if the server does not start.
    """
    system = SYSTEMS[name]
    python = interpreter(system.environment, system.requirements)
    with ExitStack() as stack:
        # Its path is short, because paths of sockets in it may have only 107 characters.
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="sb-", ignore_cleanup_errors=True)
            )
        )
        endpoint = stack.enter_context(system.start(Place(python, folder, task, archives)))
        client = stack.enter_context(_client(python, folder))
        yield Contestant(system, task, endpoint, client)


@contextmanager
def _client(python: Path, folder: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {**clean_environment(), "PYTHONPATH": str(TOOLS), "TMPDIR": str(folder)}
    with (folder / "client.log").open("ab") as log:
        client = subprocess.Popen(
            [python, "-m", "serving_benchmark.client"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        yield client
    finally:
        client.kill()
        client.communicate()


__all__ = ["Contestant", "NotStarted", "contestant"]
