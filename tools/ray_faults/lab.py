"""The lab: namespaces of the kernel for everything that the program starts.

The program runs once more inside of them, as their first process. Processes, network devices and
mounted folders exist only there, so nothing can be left behind: when that process ends, or the
program outside is killed by whatever signal, the kernel removes them all.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

#: The status of a run that this machine does not permit.
SKIPPED = 77
#: Where the nodes write: in memory, and private to the lab.
FOLDER = Path("/dev/shm/lab")  # noqa: S108 - its own file system is mounted there
#: The address of the lab itself, from which the clients call.
ADDRESS = "10.99.0.254"

_INSIDE = "RAY_FAULTS_INSIDE"
_BRIDGE = "nodes"
_SETUP = (
    ("ip", "link", "set", "lo", "up"),
    ("mount", "-t", "tmpfs", "-o", "size=75%", "tmpfs", "/dev/shm"),  # noqa: S108
    ("ip", "link", "add", _BRIDGE, "type", "bridge"),
    ("ip", "address", "add", f"{ADDRESS}/24", "dev", _BRIDGE),
    ("ip", "link", "set", _BRIDGE, "up"),
)


def is_inside() -> bool:
    """Whether this process is in the lab."""
    return os.environ.get(_INSIDE) == "1"


def find_obstacle() -> str | None:
    """Return why there can be no lab here, in one sentence; ``None`` if there can."""
    for program in ("unshare", "setpriv", "nsenter", "ip", "mount"):
        if shutil.which(program) is None:
            return f"the program {program} is not installed"
    script = " && ".join(" ".join(command) for command in _SETUP)
    # A second set inside of the first, as each node has.
    done = subprocess.run(
        [*_unshare(), "sh", "-c", f"{script} && exec {' '.join(NODE)} true"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return None
    said = (done.stderr.strip().splitlines() or ["no reason is given"])[-1]
    return f"namespaces cannot be made here: {said}"


#: What a node's first process is started with, from inside of the lab.
NODE = ("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")


def _unshare() -> list[str]:
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    options = ("--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc")
    return ["setpriv", "--pdeathsig", "KILL", "unshare", *user, *options]


def run_inside(arguments: Sequence[str]) -> int:
    """Run this program in a lab, and return its status; nothing of it is left thereafter.

    :param arguments: of its command line.
    """
    inner = subprocess.Popen(
        [*_unshare(), sys.executable, "-m", __package__, *arguments],
        env={**os.environ, _INSIDE: "1"},
        start_new_session=True,
    )

    def end(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)  # by way of the finally below

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
    try:
        return inner.wait()
    finally:
        inner.kill()
        inner.wait()


def set_up() -> None:
    """Make the network and the folder of the lab in which this process is."""
    for command in _SETUP:
        _run(*command)
    FOLDER.mkdir()


def connect(process: int, device: str, address: str) -> None:
    """Give the network namespace of a process an address, and connect it to the others.

    :param device: the name in the lab of the cable's end.
    """
    inside = ("nsenter", f"--net=/proc/{process}/ns/net")
    for command in (
        ("ip", "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", process),
        ("ip", "link", "set", device, "master", _BRIDGE, "up"),
        (*inside, "ip", "link", "set", "lo", "up"),
        (*inside, "ip", "address", "add", f"{address}/24", "dev", "eth0"),
        (*inside, "ip", "link", "set", "eth0", "up"),
        (*inside, "ip", "route", "add", "default", "via", ADDRESS),
    ):
        _run(*command)


def disconnect(device: str) -> None:
    """Remove a cable; that is nothing if it went with its namespace."""
    _run("ip", "link", "delete", device, check=False)


def switch(device: str, state: str) -> None:
    """Take the link of a cable ``up`` or ``down``."""
    _run("ip", "link", "set", device, state)


def _run(*command: object, check: bool = True) -> None:
    subprocess.run(
        [str(part) for part in command], check=check, stderr=None if check else subprocess.DEVNULL
    )
