"""A configuration as the server that is started with it would have it.

Which file counts, and which value of a property, follows the constructor of ``ConfigManager``
(TorchServe 0.12.0): ``TS_CONFIG_FILE``; ``--ts-config``; the last snapshot below ``logs/config``,
unless there is ``--ncs``; ``config.properties`` in the working folder. ``$$NAME$$`` in a value is
the environment's variable; with ``enable_envvars_config=true`` the variables ``TS_...`` override.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from eisen_deploy.serving.runtime.torchserve.java_properties import Parsed, parse

from .known_properties import MAX_INT, PROPERTIES
from .properties import parse_as_launcher

FILE_NAME = "config.properties"
VARIABLE = re.compile(r"\$\$([^$]+[^$])\$\$")
# As ConfigManager has it: no path, no IPv6.
_ADDRESS = re.compile(r"(https?)://([^:^/]+)(?::(\d+))?|unix:(/.*)", re.IGNORECASE)
_PORTS = {
    "inference_address": {"http": 80, "https": 443},
    "management_address": {"http": 8081, "https": 8444},
    "metrics_address": {"http": 8082, "https": 8445},
}
_SIZE = re.compile(r"(\d+)([kmgt]?)b?", re.IGNORECASE)
_POWERS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


@dataclass(frozen=True)
class Address:
    """Where one of the server's interfaces listens; a Unix socket has no port."""

    name: str
    scheme: str
    host: str
    port: int | None

    @property
    def is_open(self) -> bool:
        """Whether other machines reach it."""
        return self.port is not None and not is_loopback(self.host)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}" + ("" if self.port is None else f":{self.port}")


@dataclass(frozen=True)
class Configuration:
    """One file, and all that decides what its server makes of it.

    :param path: the file; ``None`` where a folder has none, and everything is as it comes.
    :param folder: the server's working folder.
    :param with_option: whether it is started with ``--ts-config path``; otherwise it is started in
        the folder without it.
    :param raw: the file's bytes.
    :param environment: of the server.
    """

    path: Path | None
    folder: Path
    with_option: bool
    raw: bytes
    environment: Mapping[str, str]

    @cached_property
    def parsed(self) -> Parsed:
        """The file as Java reads it."""
        return parse(self.raw)

    @cached_property
    def launcher(self) -> dict[str, str]:
        """The file as the launcher reads it, whether or not it does."""
        return parse_as_launcher(self.raw)

    @property
    def read_by_launcher(self) -> bool:
        """Whether the launcher reads the file: only one that it is given by name."""
        return self.with_option or "TS_CONFIG_FILE" in self.environment

    @cached_property
    def overrides(self) -> dict[str, str]:
        """The properties that variables of the environment set, with those variables' names."""
        own = {name: self._resolved(value) for name, value in self.parsed.values.items()}
        found = {
            name: known.variable
            for name, known in PROPERTIES.items()
            if known.variable in self.environment
        }
        if not is_true(own.get("use_env_allowed_urls")):
            found.pop("allowed_urls", None)
        return found

    @cached_property
    def values(self) -> dict[str, str]:
        """The value of each property that is set, in the end."""
        values = {name: self._resolved(value) for name, value in self.parsed.values.items()}
        if is_true(values.get("enable_envvars_config")):
            values |= {name: self.environment[key] for name, key in self.overrides.items()}
        return values

    def _resolved(self, value: str) -> str:
        return VARIABLE.sub(lambda match: self.environment.get(match[1], match[0]), value)

    def text(self, name: str) -> str | None:
        """Return a property, or its default."""
        return self.values.get(name, PROPERTIES[name].default)

    def number(self, name: str) -> int:
        """Return an integer property; its default if it is none, which a check tells."""
        value = as_java_int(self.values.get(name, ""))
        return int(PROPERTIES[name].default or 0) if value is None else value

    def flag(self, name: str) -> bool:
        """Return a boolean property."""
        return is_true(self.text(name))

    def addresses(self) -> Iterator[Address]:
        """Yield where the HTTP interfaces listen, as far as the addresses are valid."""
        for name in _PORTS:
            if name == "metrics_address" and not self.flag("enable_metrics_api"):
                continue
            address = parse_address(name, self.text(name) or "")
            if address is not None:
                yield address

    def address(self, name: str) -> Address | None:
        """Return where one interface listens."""
        return next((each for each in self.addresses() if each.name == name), None)

    @property
    def vm_arguments(self) -> list[str]:
        """The arguments of the Java machine, those first that others override."""
        own = self.launcher.get("vmargs", "") if self.read_by_launcher else ""
        variables = [
            self.environment.get(name, "") for name in ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS")
        ]
        return " ".join([*variables, own, self.environment.get("_JAVA_OPTIONS", "")]).split()

    def heap(self, memory: int) -> int:
        """Return the largest size of the Java heap, by default a quarter of the memory."""
        heap = memory // 4
        for argument in self.vm_arguments:
            for prefix in ("-Xmx", "-XX:MaxHeapSize="):
                if argument.startswith(prefix):
                    heap = as_size(argument[len(prefix) :]) or heap
            if argument.startswith("-XX:MaxRAMPercentage="):
                heap = int(memory * _as_float(argument.partition("=")[2], 25.0) / 100)
        return heap

    def direct_memory(self, memory: int) -> int:
        """Return the limit of the buffers outside of the heap, by default as large as the heap."""
        limit = self.heap(memory)
        for argument in self.vm_arguments:
            name, _, value = argument.partition("=")
            if name in ("-XX:MaxDirectMemorySize", "-Dio.netty.maxDirectMemory"):
                limit = as_size(value) or limit
        return limit

    @cached_property
    def models(self) -> Mapping[str, Any]:
        """The property ``models``: options by name and version of a model."""
        try:
            models = json.loads(self.values.get("models", "{}"))
        except ValueError:
            return {}
        return models if isinstance(models, dict) else {}

    @property
    def model_store(self) -> Path | None:
        """The folder with the archives; relative to the server's working folder."""
        store = self.values.get("model_store")
        return None if not store else self.folder / store


def read(target: Path, environment: Mapping[str, str]) -> Configuration:
    """Read a configuration.

    :param target: a file, which the server is given by ``--ts-config``; or a folder, in which it is
        started without that option.
    :raises OSError: if it cannot be read.
    """
    if not target.is_dir():
        return Configuration(target, target.parent, True, target.read_bytes(), environment)
    given = environment.get("TS_CONFIG_FILE")
    path = target / (given or FILE_NAME)
    if not given and not path.exists():
        return Configuration(None, target, False, b"", environment)
    return Configuration(path, target, False, path.read_bytes(), environment)


def parse_address(name: str, text: str) -> Address | None:
    """Read an address of an interface; ``None`` if TorchServe would refuse it."""
    match = _ADDRESS.fullmatch(text)
    if match is None:
        return None
    scheme, host, port, path = match.groups()
    if path is not None:
        return Address(name, "unix", path, None)
    number = int(port) if port else _PORTS[name][scheme.lower()]
    return Address(name, scheme.lower(), host, number) if number <= 65535 else None


def is_loopback(host: str) -> bool:
    """Whether a host, by name or number, is this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_true(value: str | None) -> bool:
    """Return what Java's ``Boolean.parseBoolean`` returns: everything else is false."""
    return (value or "").lower() == "true"


def as_java_int(text: str) -> int | None:
    """Return what Java's ``Integer.parseInt`` returns, ``None`` where it refuses."""
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        return None
    number = int(text)
    return number if -MAX_INT - 1 <= number <= MAX_INT else None


def as_size(text: str) -> int | None:
    """Return a size of Java's command line, as ``512m``, in bytes."""
    match = _SIZE.fullmatch(text)
    return int(match[1]) * _POWERS[match[2].lower()] if match else None


def _as_float(text: str, default: float) -> float:
    try:
        return float(text)
    except ValueError:
        return default
