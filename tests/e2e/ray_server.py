"""A local Ray Serve in a process of its own, for one module of tests."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from eisen_deploy.serving.engines.torchserve.launcher import free_ports

DRIVER = Path(__file__).resolve().parent / "ray_driver.py"
VARIABLES = {
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "eisen_deploy.serving.ray:middlewares",
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
}


class RayServer:
    """Ray, from entering it as a context to leaving it; what it starts ends with it."""

    def __init__(self, **variables: str) -> None:
        # Ray's sockets lie below, and their names may not be long.
        self.temporary = Path(tempfile.mkdtemp(prefix="es-ray-", dir="/tmp"))
        [port] = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self._log = (self.temporary / "driver.log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, DRIVER, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, **VARIABLES, **variables, "TMPDIR": str(self.temporary)},
            start_new_session=True,
        )

    def __enter__(self):
        try:
            port = self._read_answer()["metrics_port"]
            self.metrics_url = f"http://127.0.0.1:{port}/metrics"
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)  # Ray's own processes end with it
            self._process.wait()
        self._process.stdout.close()
        self._log.close()
        shutil.rmtree(self.temporary, ignore_errors=True)

    def run(self, applications: dict[str, dict[str, object]]) -> str | None:
        """Run applications by their prefix, with these arguments; return why that fails."""
        self._process.stdin.write(json.dumps({"run": applications}) + "\n")
        self._process.stdin.flush()
        return self._read_answer().get("error")

    def _read_answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        assert line, (self.temporary / "driver.log").read_text()[-3000:]
        return json.loads(line)
