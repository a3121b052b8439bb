"""One node of the cluster: namespaces with an address of their own, and Ray in them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from . import lab

_OBJECT_STORE = 100 * 2**20
#: Where a port is not given, Ray waits for its agent to choose one.
_PORTS = {
    "dashboard-agent-grpc-port": 52366,
    "dashboard-agent-listen-port": 52365,
    "metrics-export-port": 52367,
    "runtime-env-agent-port": 52368,
}
#: Fewer processes at the start, and time for them: three nodes share this machine.
_VARIABLES = {
    "RAY_enable_worker_prestart": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_worker_register_timeout_seconds": "240",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
}
_POLL = 0.1
_PORT_FILES = "session_*/dashboard_agent_listen_port_*"


class Node:
    """A node; :meth:`start` starts it, also after it has ended.

    :param number: from 1; its address ends with it.
    :param arguments: for ``ray start``.
    :param variables: of its environment.
    """

    def __init__(
        self, name: str, number: int, arguments: Sequence[str], variables: Mapping[str, str]
    ) -> None:
        self.name = name
        self.address = f"10.99.0.{number}"
        self.folder = lab.FOLDER / name
        self._arguments, self._variables = arguments, variables
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    @property
    def log(self) -> Path:
        """What ``ray start`` printed."""
        return self.folder / "ray-start.log"

    @property
    def is_running(self) -> bool:
        """Whether its first process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def has_started(self) -> bool:
        """Whether Ray says that it has."""
        return b"Ray runtime started" in self.log.read_bytes()

    @property
    def has_failed(self) -> bool:
        """Whether it has ended, or Ray's own process has, which is noticed late."""
        logs = self.folder.glob("session_*/logs/raylet.err")
        return not self.is_running or any(b"Check failed" in log.read_bytes() for log in logs)

    def be_patient(self) -> None:
        """Halt the raylet while its agent starts; call this again and again.

        It ends when its agent takes more than 15 s, which is little on a busy machine.
        """
        raylets = [pid for pid in self.find_processes("raylet/raylet") if _is_raylet(pid)]
        if any(self.folder.glob(_PORT_FILES)) or not raylets:
            wanted = signal.SIGCONT
        elif len(self.find_processes("dashboard/agent.py")) > len(raylets):
            wanted = signal.SIGSTOP
        else:
            return
        for pid in raylets:
            with suppress(ProcessLookupError):
                os.kill(pid, wanted)

    def start(self) -> None:
        """Start Ray, and do not wait for it; what is left of an earlier start is ended."""
        self.kill()
        self._forget_failures()
        self.folder.mkdir(exist_ok=True)
        self._starts += 1
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                # It waits until the network is there.
                [*lab.NODE, "sh", "-c", 'read go && exec "$@"', "sh", *self._command()],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                start_new_session=True,
            )
        assert self._process.stdin is not None  # noqa: S101 - asked for
        self._wait_for_namespace()
        lab.connect(self._process.pid, self._device, self.address)
        self._process.stdin.write(b"go\n")
        self._process.stdin.close()

    def kill(self) -> None:
        """End all its processes at once, as SIGKILL does."""
        if self._process is None:
            return
        for first in _children(self._process.pid):  # with it, the kernel ends all others
            os.kill(first, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        lab.disconnect(self._device)
        self._process = None

    def cut_off(self) -> None:
        """Take its link down: what it sends and what is sent to it is lost."""
        lab.switch(self._device, "down")

    def join(self) -> None:
        """Take its link up again."""
        lab.switch(self._device, "up")

    def enter(self, command: Sequence[str], log: IO[bytes]) -> subprocess.Popen[str]:
        """Start a process on it, with pipes.

        :raises OSError: if it does not run.
        """
        children = _children(self._process.pid) if self._process is not None else []
        if not self.is_running or not children:
            raise ProcessLookupError(f"{self.name} does not run")
        return subprocess.Popen(
            ["nsenter", f"--target={children[0]}", "--net", "--pid", "--mount", *command],  # noqa: S607
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            # It starts in the root folder.
            env={**self._environment(), "PYTHONPATH": str(Path(__file__).parent.parent)},
            start_new_session=True,
        )

    def find_processes(self, word: str) -> list[int]:
        """Return its processes with a word in their command line."""
        if not self.is_running or self._process is None:
            return []
        [first] = _children(self._process.pid) or [0]
        space = _namespace(first)
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            pid = int(entry.name)
            with suppress(OSError):
                if _namespace(pid) == space and word.encode() in (entry / "cmdline").read_bytes():
                    found.append(pid)
        return sorted(found)

    def number_inside(self, process: int) -> int:
        """Return the number that a process of this node has in its own namespace."""
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
        raise ValueError(f"{process} has no number")

    def _forget_failures(self) -> None:
        for pattern in ("session_*/logs/raylet.err", _PORT_FILES):
            for file in self.folder.glob(pattern):
                file.unlink(missing_ok=True)

    @property
    def _device(self) -> str:
        return f"{self.name}-{self._starts}"

    def _command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block"),
            f"--node-ip-address={self.address}",
            f"--temp-dir={self.folder}",
            f"--object-store-memory={_OBJECT_STORE}",
            *(f"--{name}={port}" for name, port in _PORTS.items()),
            "--include-log-monitor=false",
            "--disable-usage-stats",
            *self._arguments,
        ]

    def _environment(self) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if "proxy" not in name.lower()}
        own = {"TMPDIR": str(self.folder), "HOME": str(self.folder)}
        return {**kept, **own, **_VARIABLES, **self._variables}

    def _wait_for_namespace(self) -> None:
        assert self._process is not None  # noqa: S101 - just started
        while _namespace(self._process.pid, "net") == _namespace(os.getpid(), "net"):
            if self._process.poll() is not None:
                raise RuntimeError(f"{self.name}: {self.log.read_text('utf-8', 'replace')}")
            time.sleep(_POLL / 10)


def _is_raylet(pid: int) -> bool:
    """Whether it is the raylet: its command line holds that of its agent."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/exe").readlink().name == "raylet"
    return False


def _namespace(pid: int, kind: str = "pid") -> str:
    with suppress(OSError):
        return str(Path(f"/proc/{pid}/ns/{kind}").readlink())
    return ""


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(part) for part in text.split()]
    return []
