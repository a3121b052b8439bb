"""Start a TorchServe, wait until its models answer, and stop all of it again.

The command line is the documented one, ``torchserve --start --ncs --model-store ... --models ...``;
what is added is around it: a private folder for configuration, keys, logs and temporary files, a
process group of its own, a Java that is new enough, readiness that means an answer, and a guardian
that ends the server also if the process that started it is killed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from eisen_deploy.serving.engines.processes.guarded import GuardedProcess
from eisen_deploy.serving.runtime.torchserve import load_report

from . import logs
from .calls import ServerCalls
from .settings.java import JavaNotFound, find_java
from .worker_reports import WorkerReports

if TYPE_CHECKING:
    from typing_extensions import Self

_ADDRESSES = {
    "inference_address": 8080,
    "management_address": 8081,
    "metrics_address": 8082,
    "grpc_inference_port": 7070,
    "grpc_management_port": 7071,
}
_PROBE = 2.0  # seconds that an answer for metadata may take
_POLL = 0.3
# Seconds that a server has to end by itself.
_GRACE = 10.0


class LaunchFailed(RuntimeError):
    """TorchServe did not start, or a model did not load; the message says why."""


class TorchServe:
    """One TorchServe in a private folder, from :meth:`start` to :meth:`stop`; POSIX only.

    :param folder: where configuration, keys (``key_file.json``) and logs go; made if it is missing.
    :param model_store: the folder with the archives.
    :param models: file names of archives in ``model_store``, or ``name=file``.
    :param config: lines of ``config.properties``; ``None`` leaves the stock configuration, with
        its ports. Otherwise addresses that are not given are set to free ports on loopback.
    :param python: the interpreter beside which ``torchserve`` is installed.
    :param options: further arguments of the command line.
    :param variables: further environment variables.
    :param temporary: where temporary files go: the pid file, the unpacked archives, the sockets of
        the workers. By default ``tmp`` in ``folder``.
    :param disposable: a folder that is removed if the process that started the server is gone.
    :raises LaunchFailed: if no TorchServe or no Java is found.
    """

    def __init__(
        self,
        folder: Path,
        model_store: Path,
        models: Sequence[str],
        *,
        config: Mapping[str, str] | None = None,
        python: str = sys.executable,
        options: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
        temporary: Path | None = None,
        disposable: Path | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self.model_store = model_store.resolve()
        self.models = list(models)
        self.reports = WorkerReports(self.folder / "logs" / "workers")
        self.config = None if config is None else {**_choose_free_addresses(), **config}
        self._options = list(options)
        self._variables = dict(variables or {})
        self._temporary = temporary or self.folder / "tmp"
        self._disposable = disposable
        self._program = find_program(python)
        try:
            self.java = find_java(python)
        except JavaNotFound as error:
            raise LaunchFailed(str(error)) from None
        self._process: GuardedProcess | None = None

    @property
    def inference_url(self) -> str:
        """The address of the inference API."""
        return self._address("inference_address")

    @property
    def management_url(self) -> str:
        """The address of the management API."""
        return self._address("management_address")

    @property
    def log_path(self) -> Path:
        """Where everything that the server and its workers print goes."""
        return self.folder / "torchserve.log"

    @property
    def command(self) -> list[str]:
        """The documented command line."""
        store = ["--model-store", str(self.model_store)]
        start = [str(self._program), "--start", "--ncs", *self._options]
        return [*start, *store, "--models", *self.models]

    def key(self, api: str = "inference") -> str | None:
        """Return the key of an API (``inference`` or ``management``); ``None`` without keys."""
        keys = self._calls.keys
        return keys.management if api == "management" else keys.inference

    def start(self) -> None:
        """Start the server; it is not ready yet."""
        # TorchServe unpacks anew into it, and what one that was killed has left would add up.
        shutil.rmtree(self._temporary / "models", ignore_errors=True)
        self._temporary.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.reports.clear()
        if self.config is not None:
            lines = [f"{name}={value}\n" for name, value in self.config.items()]
            (self.folder / "config.properties").write_text("".join(lines), "utf-8")
        self._process = GuardedProcess(
            self.command, self.log_path, grace=_GRACE, disposable=self._disposable
        )
        self._process.start(self.folder, self.environment())

    def wait_ready(
        self, model: str, timeout: float = 120.0, tick: Callable[[float], None] | None = None
    ) -> None:
        """Wait until a model answers for its metadata.

        :param model: its name in the URL.
        :param timeout: in seconds.
        :param tick: called with the seconds waited, about three times a second.
        :raises LaunchFailed: if the archive is refused, the server ends, or the time is over.
        """
        start = time.monotonic()
        while (waited := time.monotonic() - start) < timeout:
            if tick is not None:
                tick(waited)
            if self._calls.predict(model, timeout=_PROBE).status == 200:
                return
            if (cause := self._explain_refusal()) is not None:
                raise LaunchFailed(f"the model did not load: {cause}")
            if not self.processes():
                raise LaunchFailed(f"TorchServe ended: {self.last_lines()}")
            time.sleep(_POLL)
        raise LaunchFailed(f"{model} was not ready in {timeout:.0f} s: {self.last_lines()}")

    def stop(self, *, force: bool = False) -> None:
        """Stop the server, and whatever is left of its process group by force.

        :param force: use it at once.
        """
        if self._process is not None:
            self._process.stop(force=force)
            (self.folder / "key_file.json").unlink(missing_ok=True)
            self._process = None

    def kill(self) -> None:
        """End all processes at once; :meth:`stop` still has to be called."""
        if self._process is not None:
            self._process.kill()

    def processes(self) -> bool:
        """Whether any process of the server is left."""
        return self._process is not None and self._process.is_running

    @property
    def status(self) -> int | None:
        """The exit status of a server that ended by itself; 128 + N where signal N ended it."""
        return None if self._process is None else self._process.status

    def last_lines(self, count: int = 5) -> str:
        """Return the end of the log in one line."""
        lines = logs.read(self.log_path).rstrip("\n").split("\n")
        return " | ".join(lines[-count:]) or "the log is empty"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def environment(self) -> dict[str, str]:
        """Return the environment in which the server runs, and in which it is stopped."""
        temporary = str(self._temporary)
        environment = {
            **os.environ,
            **self._variables,
            # Python's temporary folder holds the pid file, Java's the unpacked archives.
            "TMPDIR": temporary,
            "TEMP": temporary,
            load_report.FOLDER: str(self.reports.folder),
            "PATH": os.pathsep.join([str(self._program.parent), os.environ.get("PATH", "")]),
        }
        for name in ("PYTHONPATH", "TS_CONFIG_FILE", "JAVA_HOME"):
            environment.pop(name, None)
        if self.java.home is not None:
            environment["JAVA_HOME"] = self.java.home
        return environment

    def _explain_refusal(self) -> str | None:
        """Return why an archive of any model was refused, by the handler or by TorchServe."""
        for report in self.reports.read():
            if (cause := report.explain_end()) is not None:
                return cause
        text = logs.read(self.log_path)
        for file in (model.rpartition("=")[2] for model in self.models):
            if (cause := logs.explain_unloaded(text, file)) is not None:
                return f"{file} {cause}"
        return None

    @property
    def _calls(self) -> ServerCalls:
        return ServerCalls(self.inference_url, self.management_url, self.folder)

    def _address(self, name: str) -> str:
        return (self.config or {}).get(name, f"http://127.0.0.1:{_ADDRESSES[name]}")


def find_program(python: str) -> Path:
    """Return the ``torchserve`` that is installed beside an interpreter.

    :raises LaunchFailed: if there is none.
    """
    program = Path(python).parent / "torchserve"
    if not program.exists():
        raise LaunchFailed(f"no torchserve beside {python}: pip install torchserve PyYAML")
    return program


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody listens on, all held open until all are known."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _choose_free_addresses() -> dict[str, str]:
    return {
        name: str(port) if name.startswith("grpc") else f"http://127.0.0.1:{port}"
        for name, port in zip(_ADDRESSES, free_ports(len(_ADDRESSES)), strict=True)
    }
