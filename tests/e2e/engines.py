"""Archives on any engine, and what tests ask of a server, whichever it is.

A test takes the fixtures ``engine`` and ``serve_on``, and runs once on each engine::

    server = serve_on(engine, zoo / "a.mar", zoo / "b.mar", max_body=2**20)
    requests.post(server.url("a"), ...)

Another engine joins by a class like these, and its line in :data:`ENGINES`.
"""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Protocol

from eisen_deploy.serving.engines.engine import NotReady
from eisen_deploy.serving.engines.keys import ServersToken
from eisen_deploy.serving.engines.options import Options
from eisen_deploy.serving.engines.torchserve.calls import Endpoint, ask_workers
from eisen_deploy.serving.engines.torchserve.launcher import LaunchFailed, TorchServe

from .ray_server import RayServer
from .uvicorn_server import UvicornServer

#: What an engine raises for an archive that it cannot serve, with the reason.
FAILURES = (LaunchFailed, NotReady)


class Server(Protocol):
    """Archives that are served, from entering this as a context to leaving it.

    It is made of the archives, all in one folder, a folder of its own, and options that are those
    of ``eisen-serve run``; the defaults are those of the engine, but there is no token.

    :raises FAILURES: if an archive cannot be served; it does so on entering.
    """

    def url(self, model: str) -> str:
        """Return where a model predicts; ``model`` may be ``NAME/VERSION``."""

    def address(self, model: str) -> str:
        """Return ``http://HOST:PORT`` of a model; on some engines all have the same one."""

    def key(self) -> str | None:
        """Return the token that clients have to send."""

    def pids(self, model: str) -> list[int]:
        """Return the processes that have loaded a model."""

    def wait_ready(self, model: str) -> None:
        """Wait until it answers again, after a fault."""

    def log(self) -> str:
        """Return what the server and the models' processes have printed."""

    def metrics(self, model: str) -> str:
        """Return the numbers that Prometheus reads."""


class OnTorchServe:
    """Any number of archives on one stock TorchServe, in an environment without Eisen-Deploy.

    :param config: further lines of its configuration.
    """

    def __init__(
        self,
        archives: Sequence[Path],
        folder: Path,
        *,
        python: Path,
        workers: int = 1,
        max_body: int | None = None,
        response_timeout: int | None = None,
        token_auth: bool = False,
        **config: str,
    ) -> None:
        self._archives = archives
        limits = ["max_request_size", "max_response_size"]
        config = {
            "default_workers_per_model": str(workers),
            "disable_token_authorization": str(not token_auth).lower(),
            "metrics_mode": "prometheus",
            "model_metrics_auto_detect": "true",
            **(dict.fromkeys(limits, str(max_body)) if max_body else {}),
            **({"default_response_timeout": str(response_timeout)} if response_timeout else {}),
            **config,
        }
        names = [archive.name for archive in archives]
        store = archives[0].parent
        self.server = TorchServe(folder, store, names, config=config, python=str(python))

    def __enter__(self):
        self.server.start()
        try:
            for archive in self._archives:
                self.wait_ready(archive.stem)
        except BaseException:
            self.server.stop(force=True)
            raise
        return self

    def __exit__(self, *_):
        self.server.stop()

    def address(self, model):
        return self.server.inference_url

    def url(self, model):
        return f"{self.server.inference_url}/predictions/{model}"

    def key(self):
        return self.server.key()

    def pids(self, model):
        management = Endpoint.parse(self.server.management_url)
        found = ask_workers(management, model, token=self.server.key("management"))
        return [worker.pid for worker in found or []]

    def wait_ready(self, model):
        self.server.wait_ready(model)

    def log(self):
        return self.server.log_path.read_text("utf-8", "replace")

    def metrics(self, model):
        return _read(f"{self.server.config['metrics_address']}/metrics")


class OnUvicorn:
    """A uvicorn for each archive, as ``eisen-serve`` runs it."""

    def __init__(
        self, archives: Sequence[Path], folder: Path, *, python: Path, **options: object
    ) -> None:
        del python  # of a server without Eisen-Deploy
        self._folder = folder
        self._archives, self._options = archives, options
        self._servers: dict[str, UvicornServer] = {}
        self._stack = ExitStack()

    def __enter__(self):
        with self._stack:
            for archive in self._archives:
                folder = self._folder / archive.stem
                folder.mkdir()
                server = UvicornServer(archive, folder, **self._options)
                self._servers[archive.stem] = self._stack.enter_context(server)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def address(self, model):
        return self._of(model).inference_url

    def url(self, model):
        return f"{self.address(model)}/predictions/{model}"

    def key(self):
        (server,) = self._servers.values()  # each has a token of its own
        return server.key()

    def pids(self, model):
        return self._of(model).worker_pids()

    def wait_ready(self, model):
        wait_for(lambda: _answers(f"{self.address(model)}/v2/health/ready"))

    def log(self):
        logs = self._folder.rglob("workers.log")
        return "".join(path.read_text("utf-8", "replace") for path in logs)

    def metrics(self, model):
        return _read(f"{self.address(model)}/metrics")

    def _of(self, model):
        return self._servers[model.partition("/")[0]]


class OnRay:
    """Any number of archives on the Ray that all tests share: the next ones replace them.

    :param ray: that one.
    """

    def __init__(
        self,
        archives: Sequence[Path],
        folder: Path,
        *,
        ray: RayServer,
        python: Path,
        workers: int | None = None,
        token_auth: bool = False,
        **options: object,
    ) -> None:
        del python
        self._ray, self._token = ray, ServersToken(Options(token_auth=token_auth), folder)
        self._arguments = {
            "archives": list(map(str, archives)),
            "replicas": workers,
            "token_file": None if self._token.path is None else str(self._token.path),
            "cache": str(folder / "cache"),
            **options,
        }

    def __enter__(self):
        self._token.make()
        if (failure := self._ray.run({"/": self._arguments})) is not None:
            raise NotReady([failure])
        return self

    def __exit__(self, *_):
        """Leave them there: what comes next replaces them."""

    def address(self, model):
        return self._ray.url

    def url(self, model):
        return f"{self._ray.url}/predictions/{model}"

    def key(self):
        return self._token.read()

    def pids(self, model):
        title = f"ray::ServeReplica:alone:{model.replace('/', '@')}".encode()
        return [pid for pid in _list_processes(title) if self._is_of_this_ray(pid)]

    def wait_ready(self, model):
        path = model.replace("/", "/versions/")
        wait_for(lambda: _answers(f"{self._ray.url}/v2/models/{path}/ready"))

    def log(self):
        logs = (self._ray.temporary / "session_latest" / "logs").rglob("*.*")
        return "".join(path.read_text("utf-8", "replace") for path in logs if path.is_file())

    def metrics(self, model):
        """Ray gathers them with a prefix, and an empty label for each that a metric has not."""
        return re.sub(r"^ray_(?=eisen_)", "", _read(self._ray.metrics_url), flags=re.MULTILINE)

    def _is_of_this_ray(self, pid):
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        return str(self._ray.temporary).encode() in environment


#: How each engine is started, by the name that ``eisen-serve --engine`` has for it.
ENGINES = {"torchserve": OnTorchServe, "uvicorn": OnUvicorn, "ray": OnRay}


def wait_for(condition, seconds=60.0):
    """Wait until a call returns something true, and return that."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
    return found


def _list_processes(title):
    """Return the processes whose command line begins so."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it has ended
                if (entry / "cmdline").read_bytes().startswith(title):
                    found.append(int(entry.name))
    return found


def _read(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=30) as reply:
        return reply.read().decode()


def _answers(url):
    try:
        _read(url)
    except OSError:
        return False
    return True
