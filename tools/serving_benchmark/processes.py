"""Servers as groups of processes: started, halted while others are measured, and ended.

A server's processes are all descendants of the process that was started, and all in its session:
some processes start groups of their own, and some leave their parent.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

_START = 120.0
_END = 20.0


class NotStarted(RuntimeError):
    """A server did not start; the message has the end of its log."""


class Process(NamedTuple):
    """One process, as the kernel describes it."""

    parent: int
    session: int


def table() -> dict[int, Process]:
    """Return all processes by their number, except those that have ended (zombies)."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if state != "Z":
                found[int(folder.name)] = Process(int(parent), int(session))
    return found


class Server:
    """A running server.

    :param root: the process that was started; it leads a session.
    """

    def __init__(self, root: subprocess.Popen[bytes], log: Path) -> None:
        self.root = root
        self.log = log

    def processes(self) -> list[int]:
        """Return the numbers of its processes."""
        everything = table()
        ours = {number for number, each in everything.items() if each.session == self.root.pid}
        size = -1
        while len(ours) > size:
            size = len(ours)
            ours |= {number for number, each in everything.items() if each.parent in ours}
        return sorted(ours)

    def halt(self) -> None:
        """Halt every process: an idle server takes no time from the one that is measured."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let every process continue."""
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every process."""
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def end(self) -> None:
        """Ask it to end, and kill what is left."""
        self.resume()
        known = self.processes()
        self.root.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.root.wait(_END)
        left = set(table())
        for process in {*(each for each in known if each in left), *self.processes()}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.root.wait()

    def last_lines(self, count: int = 12) -> str:
        """Return the end of what it printed."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-count:])


@contextmanager
def running(
    command: Sequence[str | Path],
    folder: Path,
    ready: Callable[[], bool],
    variables: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Start a server, wait until it answers, and end it.

    :param folder: its working directory and its temporary files; its log is in it.
    :param ready: whether it answers.
    :param variables: further variables of its environment.
    :raises NotStarted: if it ends, or does not answer in two minutes.
    """
    log = folder / "output.log"
    environment = {**clean_environment(), "TMPDIR": str(folder), "TEMP": str(folder)}
    with log.open("ab") as output:
        root = subprocess.Popen(
            command,
            cwd=folder,
            env={**environment, **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(root, log)
    try:
        _wait(server, ready)
        yield server
    finally:
        server.end()


def _wait(server: Server, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START
    while not ready():
        if server.root.poll() is not None:
            raise NotStarted(f"it ended with {server.root.returncode}:\n{server.last_lines()}")
        if time.monotonic() > deadline:
            raise NotStarted(f"no answer in {_START:.0f} s:\n{server.last_lines()}")
        time.sleep(0.2)


def clean_environment() -> dict[str, str]:
    """Return the environment without proxies and paths of modules."""
    variables = os.environ.items()
    return {
        name: text
        for name, text in variables
        if "proxy" not in name.lower() and name != "PYTHONPATH"
    }


def free_ports(count: int) -> list[int]:
    """Return free ports; all are kept open until all are known, so that they differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def peak(process: int) -> int:
    """Return the peak of a process's resident memory since ``forget_peak``, in bytes."""
    return _residence(process, "VmHWM")


def residence(process: int) -> int:
    """Return the resident memory of a process, in bytes; 0 if it has ended."""
    return _residence(process, "VmRSS")


def forget_peak(process: int) -> None:
    """Reset the peak of a process's resident memory to its present value."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{process}/clear_refs").write_text("5")


def _residence(process: int, field: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    return 0
