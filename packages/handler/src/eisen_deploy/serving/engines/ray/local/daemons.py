"""Ray's own processes on this machine: a Ray that shares nothing with any other one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from .work import Work

_POLL = 0.05
_TRIES = 4
_LOOPBACK = "127.0.0.1"

#: What holds for every process of it; a user's own variables of Ray are for another one.
VARIABLES: Mapping[str, str] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # With Ray's 15, a model gets the processor after every other process of the machine.
    "RAY_worker_niceness": "0",
    # Only who has the token may run code in it; other users of the machine do not.
    "RAY_AUTH_MODE": "token",
    # Ray's name for it: without it, its own ports are open to other machines.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "eisen_deploy.serving.ray:middlewares",
    "RAY_START_HOOK": f"{__name__}.leave_out_remote_clients",
}


class _Parameters(Protocol):
    ray_client_server_port: int | None


def leave_out_remote_clients(parameters: _Parameters, _is_head: bool) -> None:
    """Keep Ray from starting a server for remote clients; it calls this before it starts."""
    parameters.ray_client_server_port = None


class DaemonsEnded(RuntimeError):
    """Ray's processes do not start, or have ended."""


class Daemons:
    """Ray's processes, from :meth:`start` to :meth:`stop`.

    They have a process group of their own: what asks the driver to end must not end them first.
    """

    def __init__(self, work: Work) -> None:
        self.address = f"{_LOOPBACK}:{work.port}"
        #: Where Ray writes its address, once it has started.
        self._written = Path(work.temporary) / "ray_current_cluster"
        self._command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
        self._command += [f"--port={work.port}", f"--node-ip-address={_LOOPBACK}"]
        self._command += [f"--temp-dir={work.temporary}", "--disable-usage-stats"]
        self._command += [f"--num-cpus={work.cpus}", f"--num-gpus={work.gpus}"]
        # One node needs neither a dashboard, nor new nodes, nor remote clients; and the ports that
        # Ray takes by default are another one's.
        self._command += ["--include-dashboard=false", "--include-log-monitor=false"]
        self._command += ["--no-monitor", "--dashboard-agent-listen-port=0"]
        self._command.append(f"--ray-client-server-port={work.clients_port}")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start them, and wait until all of them run.

        On a busy machine, Ray itself gives up after 30 seconds: then it is tried again.

        :raises DaemonsEnded: if they end each time.
        """
        for _ in range(_TRIES):
            self._written.unlink(missing_ok=True)
            self._process = subprocess.Popen(self._command, start_new_session=True)  # noqa: S603
            while self._process.poll() is None:
                if self._written.exists():
                    return
                time.sleep(_POLL)
            self.stop()
        self.check()

    def check(self) -> None:
        """Check that all of them run.

        :raises DaemonsEnded: if one has ended: then all end.
        """
        status = None if self._process is None else self._process.poll()
        if status is not None:
            raise DaemonsEnded(f"Ray's own processes ended with {status}")

    def stop(self) -> None:
        """End them at once: asked to, they wait half a minute for what is of no use any more."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
