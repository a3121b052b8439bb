"""``eisen-serve`` as a process of its own, its lines as they come, and what it leaves behind."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from eisen_deploy.serving.engines.torchserve.launcher import free_ports

COMMAND = [sys.executable, "-u", "-m", "eisen_deploy.serving.cli"]
READY = "Ctrl-C stops it."


def heed_signals() -> None:
    """Undo what ``nohup``, or a shell in the background, has the tests ignore."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Running:
    """One ``eisen-serve``; everything it starts has its own temporary folder in its environment."""

    def __init__(
        self,
        *arguments: object,
        python: object,
        ports: bool = True,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.temporary = Path(tempfile.mkdtemp(prefix="es-test-", dir="/tmp"))
        self.port, management, metrics = free_ports(3)
        given = ["--port", self.port, "--management-port", management, "--metrics-port", metrics]
        command = [*COMMAND, *arguments, *(given if ports else []), "--python", python]
        self.process = subprocess.Popen(
            list(map(str, command)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(self.temporary), **(variables or {})},
            start_new_session=True,
            preexec_fn=heed_signals,  # noqa: PLW1509 - it only resets signals
        )
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        self.errors: list[str] = []
        threads = [
            threading.Thread(target=self._read_lines, daemon=True),
            threading.Thread(target=lambda: self.errors.extend(self.process.stderr), daemon=True),
        ]
        for thread in threads:
            thread.start()
        self._threads = threads

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.wait_gone()
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.temporary, ignore_errors=True)
        self.process.stdout.close()
        self.process.stderr.close()

    def until(self, text: str, seconds: float = 90) -> str:
        """Return the next line with a text in it."""
        deadline = time.monotonic() + seconds
        while True:
            line = self._queue.get(timeout=max(0.01, deadline - time.monotonic()))
            assert line is not None, (text, self.lines, self.errors)
            if text in line:
                return line

    def ended(self, seconds: float = 60) -> int:
        """Return the exit status, once everything that was printed has been read."""
        status = self.process.wait(seconds)
        for thread in self._threads:
            thread.join(10)
        return status

    @property
    def complaint(self) -> str:
        return "".join(self.errors)

    def pids(self, what: str = "") -> list[int]:
        """Return the processes that it started, those with a text in their command line."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == self.process.pid:
                continue
            try:
                environment = (entry / "environ").read_bytes()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(self.temporary).encode() in environment and what.encode() in command:
                found.append(int(entry.name))
        return found

    def jvm(self) -> int:
        (pid,) = self.pids("org.pytorch.serve.ModelServer")
        return pid

    def workers(self) -> list[int]:
        """Return the processes with models, on either engine."""
        on_uvicorn = self.pids("eisen_deploy.serving.engines.uvicorn.worker")
        guardians = self.pids("guardian.py")  # whose command lines end with those of their own
        return [
            *self.pids("model_service_worker.py"),
            *(pid for pid in on_uvicorn if pid not in guardians),
        ]

    def wait_gone(self, seconds: float = 20) -> bool:
        """Whether no process and no file is left, now or soon."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.pids() and not list(self.temporary.iterdir()):
                return True
            time.sleep(0.1)
        return False

    def _read_lines(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line)
            self._queue.put(line)
        self._queue.put(None)
