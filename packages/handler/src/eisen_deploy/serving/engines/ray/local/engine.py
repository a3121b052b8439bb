"""Ray Serve as ``eisen-serve`` runs it: any number of archives on a Ray of one node."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from eisen_deploy.serving.engines.asgi.settings import MAX_BODY
from eisen_deploy.serving.engines.engine import Setup
from eisen_deploy.serving.engines.environment import probes
from eisen_deploy.serving.engines.environment.allocator import ALLOCATOR
from eisen_deploy.serving.engines.keys import ServersToken
from eisen_deploy.serving.engines.machine import measure_machine
from eisen_deploy.serving.engines.options import Options
from eisen_deploy.serving.engines.preflight import refuse
from eisen_deploy.serving.engines.processes.service import SupervisedService
from eisen_deploy.serving.engines.served_archives import ServedArchive
from eisen_deploy.serving.engines.torchserve.launcher import free_ports

from .launching import RayDriver
from .work import Work

_EXTRA = "eisen-deploy-handler[ray]"
#: What the driver and the replicas import, and what to install for it.
REQUIRED = {
    "torch": "torch",
    "numpy": "numpy",
    "ray.serve": _EXTRA,
    "python_multipart": _EXTRA,
    "prometheus_client": _EXTRA,
    "eisen_deploy.serving.engines.ray.local.work": _EXTRA,
}

# Below the temporary folder, the longest path of a socket that Ray makes.
_LONGEST_SOCKET = "/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store"
_MOST = 107
# A request may wait for its turn as long as it may take. So many seconds later, Ray's proxy answers
# by itself.
_MARGIN = 30
# Longer than a load balancer keeps a connection, so that it is not closed under a request.
_KEEP_ALIVE = 75


class RayEngine:
    """Ray Serve on one machine, with any number of archives."""

    name = "Ray"

    def find_problems(self, options: Options, archives: int, python: str) -> Iterator[str]:
        """Yield which options it cannot follow: there is none."""
        del options, archives, python
        yield from ()

    def list_ports(self, options: Options) -> Mapping[str, tuple[str, int]]:
        """Return what it listens on for others; ports of Ray itself are free ones of loopback."""
        return {"--port": (options.host, options.port)}

    def find_response_timeout(self, archive: ServedArchive, options: Options) -> int:
        """Return that of the archive, or the server's."""
        return archive.serving.response_timeout or options.response_timeout

    def check_environment(self, python: str) -> int:
        """Check that Ray can be started by an interpreter; return the number of GPUs there."""
        return probes.check(python, REQUIRED).gpus

    def check_setup(self, setup: Setup) -> None:
        """Check that its sockets have names that are short enough, and the numbers of replicas."""
        refuse(
            [
                *find_long_socket_paths(setup.private),
                *find_different_replicas(setup.archives, setup.options),
            ]
        )

    def make_service(self, setup: Setup) -> SupervisedService:
        """Return it; it is not started."""
        options, token = setup.options, ServersToken(setup.options, setup.folder)
        logs = setup.folder / "logs"
        logs.mkdir(exist_ok=True)
        timeout = max(self.find_response_timeout(each, options) for each in setup.archives)
        driver = RayDriver(
            setup,
            _make_work(setup, token, logs, timeout),
            timeout,
            {MAX_BODY: str(options.max_body), **{each.name: each.value for each in ALLOCATOR}},
        )
        addresses = {"readiness": f"{options.local_url}/v2/health/ready", "logs": str(logs)}
        return SupervisedService(token, driver, addresses)


def _make_work(setup: Setup, token: ServersToken, logs: Path, timeout: int) -> Work:
    """Return what the driver is told.

    :param timeout: seconds for an answer of the slowest model.
    """
    options, (port, clients_port) = setup.options, free_ports(2)
    return Work(
        arguments=make_arguments(setup, token.path),
        http_options=make_http_options(options, timeout),
        ready_urls=[_make_ready_url(each, options) for each in setup.archives],
        port=port,
        clients_port=clients_port,
        temporary=str(setup.private),
        logs=str(logs),
        cpus=count_cpus(setup.archives, options),
        gpus=setup.gpus,
    )


def make_arguments(setup: Setup, key_file: Path | None) -> dict[str, object]:
    """Return the arguments of the application: it serves the private copies."""
    options, total = setup.options, count_replicas(setup.archives, setup.options)
    shared = max(1, math.ceil(total / setup.gpus)) if setup.gpus else 1
    return {
        "archives": [
            {"url": str(archive.copy), "digest": archive.digest} for archive in setup.archives
        ],
        "max_body": options.max_body,
        "response_timeout": options.response_timeout,
        "token_file": None if key_file is None else str(key_file),
        "replicas": None if _say_workers(setup.archives) else options.workers,
        "cpus": _share_cores(setup.archives, options),
        "gpus": 1 / shared if setup.gpus else 0,
        "cache": str(setup.private / "cache"),
    }


def make_http_options(options: Options, timeout: int) -> dict[str, object]:
    """Return the options of Ray's proxy.

    :param timeout: seconds for an answer of the slowest model.
    """
    return {
        "host": options.host,
        "port": options.port,
        "request_timeout_s": 2 * timeout + _MARGIN,
        "keep_alive_timeout_s": _KEEP_ALIVE,
        "ssl_keyfile": None if options.tls_key is None else str(options.tls_key),
        "ssl_certfile": None if options.tls_cert is None else str(options.tls_cert),
    }


def find_different_replicas(archives: Sequence[ServedArchive], options: Options) -> Iterator[str]:
    """Yield that one number of replicas does not hold for all archives that say none themselves."""
    say = [each for each in archives if each.serving.workers not in (None, options.workers)]
    if options.workers is not None and say and not _say_workers(archives):
        names = ", ".join(f"{each.url_part} says {each.serving.workers}" for each in say)
        yield f"--workers {options.workers}: {names}, and others nothing: leave it out"


def _say_workers(archives: Sequence[ServedArchive]) -> bool:
    """Whether each archive says the number of its replicas."""
    return all(each.serving.workers for each in archives)


def count_replicas(archives: Sequence[ServedArchive], options: Options) -> int:
    """Return the number of all replicas: of each archive what it says, or the option, or one."""
    return sum(each.serving.workers or options.workers or 1 for each in archives)


def count_cpus(archives: Sequence[ServedArchive], options: Options) -> int:
    """Return the cores that Ray is told of: as many as all replicas take, or the machine's.

    A replica for which none is free would be waited for without an end.
    """
    shared = _share_cores(archives, options)
    taken = sum(
        (each.serving.workers or options.workers or 1) * (shared or each.serving.threads or 1)
        for each in archives
    )
    return max(measure_machine().cores, taken)


def _share_cores(archives: Sequence[ServedArchive], options: Options) -> int | None:
    """Return the cores, and so the threads, of each replica; ``None`` where archives say them."""
    if any(each.serving.threads for each in archives):
        return None
    return max(1, measure_machine().cores // count_replicas(archives, options))


def find_long_socket_paths(private: Path) -> Iterator[str]:
    """Yield that the paths of Ray's sockets would be too long for the system."""
    over = len(os.fsencode(private)) + len(_LONGEST_SOCKET) - _MOST
    if over > 0:
        yield f"{private}: {over} bytes too long for Ray's sockets: TMPDIR names another"


def _make_ready_url(archive: ServedArchive, options: Options) -> str:
    model = archive.url_part.replace("/", "/versions/")
    return f"{options.local_url}/v2/models/{model}/ready"
