"""TorchServe as ``eisen-serve`` runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from eisen_deploy.serving.engines.engine import Setup
from eisen_deploy.serving.engines.environment import probes
from eisen_deploy.serving.engines.machine import measure_machine
from eisen_deploy.serving.engines.options import Options
from eisen_deploy.serving.engines.served_archives import ServedArchive
from eisen_deploy.serving.runtime.archive.verification import DIGESTS
from eisen_deploy.serving.runtime.torchserve.load_report import TRACES
from eisen_deploy.serving.runtime.torchserve.server_config import STOCK_TIMEOUT

from . import preflight
from .calls import ServerCalls
from .launcher import LaunchFailed, TorchServe, find_program
from .settings import logging_config
from .settings.configuration import configure
from .settings.environment import REQUIRED
from .settings.java import JavaNotFound, find_java
from .supervision import Supervision

CONFIG = "config.properties"
LOGGING = "log4j2.xml"


class TorchServeEngine:
    """TorchServe, with any number of archives."""

    name = "TorchServe"

    def find_problems(self, options: Options, archives: int, python: str) -> Iterator[str]:
        """Yield which options it cannot follow, and that it is not there."""
        del archives
        yield from preflight.find_problems(options)
        try:
            find_program(python)
        except LaunchFailed as error:
            yield str(error)

    def list_ports(self, options: Options) -> Mapping[str, tuple[str, int]]:
        """Return what it listens on."""
        return {
            "--port": (options.host, options.port),
            "--management-port": ("127.0.0.1", options.management_port),
            "--metrics-port": ("127.0.0.1", options.metrics_port),
        }

    def find_response_timeout(self, archive: ServedArchive, options: Options) -> int:
        """Return that of the archive; a file of options without one hides the server's own."""
        hidden = STOCK_TIMEOUT if archive.has_options else options.response_timeout
        return archive.serving.response_timeout or hidden

    def check_environment(self, python: str) -> int:
        """Check that a Java and what it imports are there; return the number of GPUs there."""
        problems: list[str] = []
        try:
            gpus = probes.check(python, REQUIRED).gpus
        except probes.UnfitEnvironment as error:
            problems += error.problems
        try:
            find_java(python)
        except JavaNotFound as error:
            problems.append(str(error))
        if problems:
            raise probes.UnfitEnvironment(*problems)
        return gpus

    def check_setup(self, setup: Setup) -> None:
        """Check nothing: all is known before."""

    def make_service(self, setup: Setup) -> TorchServeService:
        """Write its configuration, and return it."""
        return TorchServeService(setup)


class TorchServeService:
    """Archives on one TorchServe."""

    def __init__(self, setup: Setup) -> None:
        options, folder = setup.options, setup.folder
        configuration = configure(options, measure_machine(setup.gpus))
        (folder / CONFIG).write_text(configuration.render(), "ascii")
        (folder / LOGGING).write_text(logging_config.render(configuration.log_levels), "ascii")
        self._server = TorchServe(
            folder,
            setup.private / "model_store",
            [archive.store_name for archive in setup.archives],
            config=None,
            python=setup.python,
            options=["--ts-config", str(folder / CONFIG), "--log-config", str(folder / LOGGING)],
            variables={
                **configuration.environment,
                "LOG_LOCATION": str(folder / "logs"),
                DIGESTS: " ".join(archive.digest for archive in setup.archives),
                TRACES: "1",
            },
            temporary=setup.private / "tmp",
            disposable=setup.private,
        )
        if self._server.java.note:
            setup.say(self._server.java.note)
        names = (logging_config.SERVER_LOG, logging_config.MODEL_LOG)
        self._supervision = Supervision(
            self._server,
            ServerCalls(options.local_url, f"http://127.0.0.1:{options.management_port}", folder),
            setup.archives,
            [self._server.log_path, *(folder / "logs" / name for name in names)],
            patience=setup.patience,
            say=setup.say,
        )
        self.addresses = {
            "management": f"http://127.0.0.1:{options.management_port}",
            "metrics": f"http://127.0.0.1:{options.metrics_port}/metrics",
            "logs": str(folder / "logs"),
        }
        self.start = self._supervision.start
        self.token = self._server.key
        self.kill = self._server.kill
        self.stop = self._server.stop

    def keep(self, started: Callable[[], None]) -> None:
        """Serve, until an exception ends it."""
        self._supervision.keep(started)
