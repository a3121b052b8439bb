"""Start a TorchServe, wait until its models answer, and stop all of it again.

The command line is the documented one, ``torchserve --start --ncs --model-store ... --models ...``;
what is added is around it: a private folder for configuration, keys, logs and temporary files, a
process group of its own, a Java that is new enough, and readiness that means an answer.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from .java import JavaNotFound, find_java_home

if TYPE_CHECKING:
    from typing_extensions import Self

_ADDRESSES = {
    "inference_address": 8080,
    "management_address": 8081,
    "metrics_address": 8082,
    "grpc_inference_port": 7070,
    "grpc_management_port": 7071,
}
# Said by our handler; said by TorchServe, with the exception on the next line.
_REFUSED = re.compile(r"archive refused: (.+)|Failed to load model: (.+\n.*Exception.*)")


class LaunchFailed(RuntimeError):
    """TorchServe did not start, or a model did not load; the message says why."""


class TorchServe:
    """One TorchServe in a private folder, from :meth:`start` to :meth:`stop`; POSIX only.

    :param folder: where configuration, keys (``key_file.json``), logs and temporary files go;
        made if it is missing.
    :param model_store: the folder with the archives.
    :param models: file names of archives in ``model_store``, or ``name=file``.
    :param config: lines of ``config.properties``; ``None`` leaves the stock configuration, with
        its ports. Otherwise addresses that are not given are set to free ports on loopback.
    :param python: the interpreter beside which ``torchserve`` is installed.
    :raises LaunchFailed: if there is no TorchServe or no Java to be found.
    """

    def __init__(
        self,
        folder: Path,
        model_store: Path,
        models: Sequence[str],
        *,
        config: Mapping[str, str] | None = None,
        python: str = sys.executable,
    ) -> None:
        self.folder = folder.resolve()
        self.model_store = model_store.resolve()
        self.models = list(models)
        self.config = None if config is None else {**_free_addresses(), **config}
        self._program = Path(python).parent / "torchserve"
        if not self._program.exists():
            raise LaunchFailed(f"no torchserve beside {python}: pip install torchserve PyYAML")
        try:
            self._java_home = find_java_home(python)
        except JavaNotFound as error:
            raise LaunchFailed(str(error)) from None
        self._process: subprocess.Popen[bytes] | None = None

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
        return [str(self._program), "--start", "--ncs", *store, "--models", *self.models]

    def key(self, api: str = "inference") -> str | None:
        """Return the key of an API (``inference`` or ``management``); ``None`` without keys."""
        try:
            keys = json.loads((self.folder / "key_file.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None
        key: str = keys[api]["key"]
        return key

    def start(self) -> None:
        """Start the server; it is not ready yet."""
        temporary = self.folder / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        if self.config is not None:
            lines = [f"{name}={value}\n" for name, value in self.config.items()]
            (self.folder / "config.properties").write_text("".join(lines), "utf-8")
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the command line is our own
                self.command,
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(
        self, model: str, timeout: float = 120.0, tick: Callable[[float], None] | None = None
    ) -> None:
        """Wait until a model answers for its metadata.

        :param model: its name in the URL.
        :param timeout: in seconds.
        :param tick: called with the seconds waited, about twice a second.
        :raises LaunchFailed: if the archive is refused, the server ends, or the time is over.
        """
        start = time.monotonic()
        while (waited := time.monotonic() - start) < timeout:
            if tick is not None:
                tick(waited)
            if self._answers(model):
                return
            self._raise_if_refused()
            if not self.processes() and self._process is not None:
                raise LaunchFailed(f"TorchServe ended: {self.last_lines()}")
            time.sleep(0.3)
        raise LaunchFailed(f"{model} was not ready in {timeout:.0f} s: {self.last_lines()}")

    def stop(self, timeout: float = 20.0) -> None:
        """Stop the server as documented, and whatever is left of its process group by force.

        :param timeout: seconds that the server has to end by itself.
        """
        if self._process is None:
            return
        stop = [str(self._program), "--stop"]
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(  # noqa: S603
                stop,
                cwd=self.folder,
                env=self.environment(),
                timeout=timeout,
                capture_output=True,
                check=False,
            )
        deadline = time.monotonic() + timeout
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.1)
        if self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def processes(self) -> bool:
        """Whether any process of the server's group is left."""
        if self._process is None:
            return False
        self._process.poll()
        try:
            os.killpg(self._process.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def last_lines(self, count: int = 5) -> str:
        """Return the end of the log in one line."""
        try:
            lines = self.log_path.read_text("utf-8", "replace").splitlines()
        except OSError:
            return "no log"
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

    def _address(self, name: str) -> str:
        return (self.config or {}).get(name, f"http://127.0.0.1:{_ADDRESSES[name]}")

    def environment(self) -> dict[str, str]:
        """Return the environment in which the server runs, and in which it is stopped."""
        temporary = str(self.folder / "tmp")
        environment = {
            **os.environ,
            # Python's temporary folder holds the pid file, Java's the unpacked archives.
            "TMPDIR": temporary,
            "TEMP": temporary,
            "PATH": os.pathsep.join([str(self._program.parent), os.environ.get("PATH", "")]),
        }
        for name in ("PYTHONPATH", "TS_CONFIG_FILE"):
            environment.pop(name, None)
        if self._java_home is not None:
            environment["JAVA_HOME"] = str(self._java_home)
        return environment

    def _answers(self, model: str) -> bool:
        request = urllib.request.Request(  # noqa: S310 - our own address
            f"{self.inference_url}/predictions/{model}", data=b"", method="POST"
        )
        key = self.key()
        if key is not None:
            request.add_header("Authorization", f"Bearer {key}")
        # A proxy of the environment has no business with a server on loopback.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=2) as reply:
                return bool(reply.status == 200)
        except (OSError, urllib.error.HTTPError):
            return False

    def _raise_if_refused(self) -> None:
        match = _REFUSED.search(self.log_path.read_text("utf-8", "replace"))
        if match:
            reason = " ".join((match.group(1) or match.group(2)).split())
            raise LaunchFailed(f"the model did not load: {reason}")


def _free_addresses() -> dict[str, str]:
    """Return free ports for every address, all held open until all are known."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in _ADDRESSES]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in sockets]
    return {
        name: str(port) if name.startswith("grpc") else f"http://127.0.0.1:{port}"
        for name, port in zip(_ADDRESSES, ports, strict=True)
    }
