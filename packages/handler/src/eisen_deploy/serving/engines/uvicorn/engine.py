"""uvicorn as ``eisen-serve`` runs it: one archive, any number of workers on one port."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping

from eisen_deploy.serving.engines.asgi.settings import COUNTERS_FOLDER
from eisen_deploy.serving.engines.engine import Setup
from eisen_deploy.serving.engines.environment import probes
from eisen_deploy.serving.engines.environment.allocator import ALLOCATOR
from eisen_deploy.serving.engines.keys import ServersToken
from eisen_deploy.serving.engines.machine import share_for_bodies
from eisen_deploy.serving.engines.options import Options
from eisen_deploy.serving.engines.processes.service import SupervisedService
from eisen_deploy.serving.engines.served_archives import ServedArchive
from eisen_deploy.serving.runtime.archive.verification import DIGESTS

from .launching import UvicornWorkers
from .work import Work

#: What a worker imports, and what to install for it.
REQUIRED = {
    "torch": "torch",
    "numpy": "numpy",
    "uvicorn": "eisen-deploy-handler[uvicorn]",
    "httptools": "eisen-deploy-handler[uvicorn]",
    "python_multipart": "eisen-deploy-handler[uvicorn]",
    "prometheus_client": "eisen-deploy-handler[uvicorn]",
    "eisen_deploy.serving.engines.uvicorn.work": "eisen-deploy-handler[uvicorn]",
}
_BACKLOG = 2048
_QUEUE = 100


class UvicornEngine:
    """uvicorn, with one archive."""

    name = "uvicorn"

    def find_problems(self, options: Options, archives: int, python: str) -> Iterator[str]:
        """Yield what it cannot do."""
        del options, python
        if archives > 1:
            yield (
                f"uvicorn serves one archive on a port, got {archives}: start it once for each, "
                "with --port, or use --engine torchserve"
            )

    def list_ports(self, options: Options) -> Mapping[str, tuple[str, int]]:
        """Return what it listens on: one port for everything."""
        return {"--port": (options.host, options.port)}

    def find_response_timeout(self, archive: ServedArchive, options: Options) -> int:
        """Return that of the archive, or the server's."""
        return archive.serving.response_timeout or options.response_timeout

    def check_environment(self, python: str) -> int:
        """Check that a worker can be started by an interpreter; return the number of GPUs there."""
        return probes.check(python, REQUIRED).gpus

    def check_setup(self, setup: Setup) -> None:
        """Check nothing: all is known before."""

    def make_service(self, setup: Setup) -> SupervisedService:
        """Return it; it is not started."""
        options = setup.options
        [archive] = setup.archives
        token = ServersToken(options, setup.folder)
        counters = setup.private / "counters"
        counters.mkdir()
        listener = _listen(options)
        workers = UvicornWorkers(
            archive,
            listener,
            _make_work(archive, setup, token),
            setup,
            variables={
                **{each.name: each.value for each in ALLOCATOR},
                DIGESTS: archive.digest,
                COUNTERS_FOLDER: str(counters),
            },
        )
        addresses = {
            "metrics": f"{options.local_url}/metrics",
            "readiness": f"{options.local_url}/v2/health/ready",
            "logs": str(workers.log_path),
        }
        return SupervisedService(token, workers, addresses, listener)


def _make_work(archive: ServedArchive, setup: Setup, token: ServersToken) -> Work:
    """Return what each worker is told."""
    options = setup.options
    workers = count_workers(archive, options, setup.gpus)
    return Work(
        workers=workers,
        max_body=options.max_body,
        all_bodies=share_for_bodies(workers),
        response_timeout=options.response_timeout,
        queue=_QUEUE,
        token_file=None if token.path is None else str(token.path),
        tls_cert=None if options.tls_cert is None else str(options.tls_cert),
        tls_key=None if options.tls_key is None else str(options.tls_key),
    )


def count_workers(archive: ServedArchive, options: Options, gpus: int) -> int:
    """Return the number of workers: what the archive says, or the option, or one for each GPU."""
    return archive.serving.workers or options.workers or gpus or 1


def _listen(options: Options) -> socket.socket:
    """Return the socket on which all workers listen."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((options.host, options.port))
    listener.listen(_BACKLOG)
    return listener
