"""What the TorchServe that started this worker was configured with.

TorchServe kills a worker that replies with more than ``max_response_size`` bytes or takes longer
than its response timeout, answers every request of its batch with 500, *Worker died*, and says
neither limit to it. So this module looks where TorchServe itself looked: at the command line, the
environment and the working folder of the Java process above this one. A session then checks both
before, and its errors name the setting to change.

Source: TorchServe 0.12, ``ConfigManager`` (its constructor, ``setSystemVars`` and
``getDefaultWorkers``) and ``FSSnapshotSerializer``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from .._shared.model.serving_options import ServingOptions
from ..answering.budget import leave_margin
from ..answering.limits import Limits
from ..cores import count_cores
from . import java_properties

#: TorchServe's limit for a request and for a reply, in bytes, where nothing sets another one.
STOCK_SIZE = 6_553_500
#: TorchServe's frames hold sizes as four bytes with a sign.
MAX_REPLY = 2**31 - 1
#: TorchServe's response timeout in seconds, where nothing sets another one.
STOCK_TIMEOUT = 120

#: The class of Java whose process is a TorchServe.
SERVER = "org.pytorch.serve.ModelServer"
_PROC = Path("/proc")
#: ``$$NAME$$`` stands for a variable of the environment; ConfigManager has the same expression.
REFERENCE = re.compile(r"\$\$([^$]+[^$])\$\$")
# Of the properties those read here; each may come from the environment, as TS_ and its name.
_NAMES = (
    "max_response_size",
    "max_request_size",
    "default_response_timeout",
    "default_workers_per_model",
    "number_of_gpu",
    "debug",
    "model_metrics_auto_detect",
)


@dataclass(frozen=True)
class ServerConfig:
    """What a worker has to know of its server; ``None`` where nothing can be known.

    :param max_response_size: bytes that a reply may have; ``max_request_size`` likewise.
    :param default_response_timeout: seconds that a batch may take, unless its model says otherwise.
    :param default_workers_per_model: workers of a model that does not say how many.
    :param models: the property ``models``: settings by name and version of a model.
    :param reads_model_metrics: whether metrics that the server's file does not name are taken.
    :param source: where ``max_response_size`` is set, or would be, as a message names it.
    """

    max_response_size: int | None = None
    max_request_size: int | None = None
    default_response_timeout: int | None = None
    default_workers_per_model: int | None = None
    models: Mapping[str, object] = field(default_factory=dict)
    reads_model_metrics: bool | None = None
    source: str = "config.properties"

    def find_setting(self, name: str, version: str, setting: str) -> int | None:
        """Return a setting, such as ``responseTimeout``, that the property ``models`` holds."""
        value: object = self.models
        for key in (name, version, setting):
            value = value.get(key) if isinstance(value, Mapping) else None
        return value if type(value) is int and value > 0 else None


def read(proc: Path = _PROC, pid: int | None = None) -> ServerConfig:
    """Read the configuration of the TorchServe above this process. Never raises.

    :param proc: the folder in which the system shows its processes.
    :param pid: where to begin to look; ``None``: at the parent of this process.
    """
    try:
        server = _find_server(proc, os.getppid() if pid is None else pid)
        if server is None:
            return ServerConfig()
        return _make_config(*_read_properties(server), proc)
    except (OSError, ValueError):
        return ServerConfig()


def find_limits(
    server: ServerConfig, name: str, version: str, options: ServingOptions, *, has_file: bool
) -> Limits:
    """Return what a TorchServe allows the worker of a model.

    :param name: under which the model is registered.
    :param has_file: whether the archive has a ``model-config.yaml``: then the server's default
        timeout does not hold for it, and 120 s do where the file names none. Source: TorchServe
        0.12, ``ModelConfig`` and ``ModelManager.createModel``.
    """
    timeout = options.response_timeout
    if timeout is None and server.default_response_timeout is not None:
        of_server = server.find_setting(name, version, "responseTimeout")
        timeout = STOCK_TIMEOUT if has_file else of_server or server.default_response_timeout
    size = server.max_response_size
    reply = MAX_REPLY if size is None else min(size, MAX_REPLY)
    return Limits(
        reply=reply,
        reply_setting=f"the server's max_response_size is {reply} ({server.source})",
        seconds=None if timeout is None else leave_margin(timeout),
        seconds_setting=f"responseTimeout is {timeout} s",
        request=server.max_request_size,
    )


# --- the process ---------------------------------------------------------------------------


def _find_server(proc: Path, pid: int) -> Path | None:
    """Return the folder of the nearest process from this one upwards that is a TorchServe."""
    for _ in range(8):  # a launcher such as torchrun may stand between
        folder = proc / str(pid)
        if SERVER in read_strings(folder / "cmdline"):
            return folder
        # The parent is the second word after the program's name, which may hold anything.
        pid = int((folder / "stat").read_text("latin-1").rpartition(")")[2].split()[1])
        if pid < 1:
            return None
    return None


def read_strings(path: Path) -> list[str]:
    """Read a file of ``/proc`` that holds a list: a command line or an environment."""
    return os.fsdecode(path.read_bytes()).rstrip("\0").split("\0")


def _read_properties(server: Path) -> tuple[dict[str, str], str]:
    """Return the properties that a server runs with, and where the limit of a reply comes from."""
    environment = dict(
        text.split("=", 1) for text in read_strings(server / "environ") if "=" in text
    )
    path = server / "cwd" / _find_file(server, read_strings(server / "cmdline"), environment)
    try:
        own = java_properties.parse(path.read_bytes()).values
    except FileNotFoundError:
        own = {}
    found = resolve(own, environment, {name: f"TS_{name.upper()}" for name in _NAMES})
    variable = "TS_MAX_RESPONSE_SIZE"
    if is_true(found.get("enable_envvars_config")) and variable in environment:
        return found, f"{variable} in its environment"
    return found, path.name


def resolve(
    own: Mapping[str, str], environment: Mapping[str, str], variables: Mapping[str, str]
) -> dict[str, str]:
    """Return the values that properties have in the end, as ``ConfigManager`` makes them.

    :param own: the values in the file.
    :param environment: of the server.
    :param variables: by property, the variable that overrides it where the file allows that.
    """
    found = {
        name: REFERENCE.sub(lambda match: environment.get(match[1], match[0]), value)
        for name, value in own.items()
    }
    if is_true(found.get("enable_envvars_config")):
        found |= {name: environment[key] for name, key in variables.items() if key in environment}
    return found


def _find_file(server: Path, command: Sequence[str], environment: Mapping[str, str]) -> Path:
    """Return the file that the server read, relative to its working folder."""
    if "TS_CONFIG_FILE" in environment:
        return Path(environment["TS_CONFIG_FILE"])
    for option, value in pairwise(command):
        if option in ("-f", "--ts-config-file"):
            return Path(value)
    if not {"-ncs", "--no-config-snapshot"} & set(command):
        logs = Path(environment.get("LOG_LOCATION", "logs"))
        snapshots = [*(server / "cwd" / logs / "config").glob("*.cfg")]
        if snapshots:
            return logs / "config" / max(snapshots, key=lambda path: path.name[:17]).name
    return Path("config.properties")


def _make_config(found: Mapping[str, str], source: str, proc: Path) -> ServerConfig:
    models = json.loads(found.get("models", "{}"))
    return ServerConfig(
        int(found.get("max_response_size", STOCK_SIZE)),
        int(found.get("max_request_size", STOCK_SIZE)),
        int(found.get("default_response_timeout", STOCK_TIMEOUT)),
        _count_default_workers(found, proc),
        models if isinstance(models, dict) else {},
        is_true(found.get("model_metrics_auto_detect")),
        source,
    )


def _count_default_workers(found: Mapping[str, str], proc: Path) -> int:
    if is_true(found.get("debug")):
        return 1
    try:
        gpus = len(list((proc / "driver" / "nvidia" / "gpus").iterdir()))
    except OSError:
        gpus = 0
    gpus = min(gpus, int(found.get("number_of_gpu", gpus)))
    return int(found.get("default_workers_per_model", 0)) or gpus or count_cores()


def is_true(text: str | None) -> bool:
    """Return what Java's ``Boolean.parseBoolean`` returns: everything but the word is false."""
    return (text or "").lower() == "true"
