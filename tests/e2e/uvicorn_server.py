"""An archive on uvicorn as ``eisen-serve`` runs it, with what tests ask of a server."""

from __future__ import annotations

import sys
from pathlib import Path

from eisen_deploy.serving.engines import served_archives
from eisen_deploy.serving.engines.engine import Patience, Setup
from eisen_deploy.serving.engines.options import Options
from eisen_deploy.serving.engines.torchserve.launcher import free_ports
from eisen_deploy.serving.engines.uvicorn.engine import UvicornEngine


class UvicornServer:
    """One archive on a port of its own, from entering it as a context to leaving it."""

    def __init__(self, archive: Path, folder: Path, **options: object) -> None:
        options = {"port": free_ports(1)[0], "response_timeout": 60, **options}
        given = Options(**options)
        found = served_archives.verify([archive], folder / "store")
        self.inference_url = given.local_url
        setup = Setup(given, found, 0, sys.executable, folder, folder, Patience(120), print)
        self._service = UvicornEngine().make_service(setup)

    def __enter__(self):
        try:
            self._service.start()
        except BaseException:
            self._service.stop()
            raise
        return self

    def __exit__(self, *_):
        self._service.kill()
        self._service.stop()

    def key(self) -> str | None:
        """Return the token."""
        return self._service.token()

    def worker_pids(self) -> list[int]:
        """Return the workers' processes."""
        return [worker.pid for worker in self._service._supervision._workers]
