"""The properties as the server that is started with them would have them.

Which file counts, and which value of a property, follows the constructor of ``ConfigManager``
(TorchServe 0.12.0): ``TS_CONFIG_FILE``; ``--ts-config``; the last snapshot below ``logs/config``,
unless there is ``--ncs``; ``config.properties`` in the working folder. With
``enable_envvars_config=true`` the variables ``TS_...`` override.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from eisen_deploy.serving.engines.torchserve.settings.known_properties import (
    ADDRESSES,
    PROPERTIES,
    Address,
    parse_address,
    parse_as_launcher,
    parse_java_int,
    parse_size,
)
from eisen_deploy.serving.runtime.torchserve.java_properties import Parsed, parse
from eisen_deploy.serving.runtime.torchserve.server_config import is_true, resolve


@dataclass(frozen=True)
class ServerProperties:
    """One file, and all that decides what its server makes of it.

    :param path: the file; ``None`` where a folder has none, and everything is at its default.
    :param folder: the server's working folder.
    :param read_by_launcher: whether the launcher reads the file: only one that it is given by name.
    :param raw: the file's bytes.
    :param environment: of the server.
    """

    path: Path | None
    folder: Path
    read_by_launcher: bool
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

    @cached_property
    def values(self) -> dict[str, str]:
        """The value of each property that is set, in the end."""
        own = self.parsed.values
        variables = {name: known.variable for name, known in PROPERTIES.items() if known.variable}
        if not is_true(own.get("use_env_allowed_urls")):
            del variables["allowed_urls"]
        return resolve(own, self.environment, variables)

    def of_kind(self, kind: str) -> Iterator[tuple[str, str]]:
        """Yield the properties of a kind that are set."""
        for name, value in self.values.items():
            if name in PROPERTIES and PROPERTIES[name].kind == kind:
                yield name, value

    def text(self, name: str) -> str | None:
        """Return a property, or its default."""
        return self.values.get(name, PROPERTIES[name].default)

    def number(self, name: str) -> int:
        """Return an integer property; its default where Java refuses it, which a check reports."""
        value = parse_java_int(self.values.get(name, ""))
        return int(PROPERTIES[name].default or 0) if value is None else value

    def flag(self, name: str) -> bool:
        """Return a boolean property."""
        return is_true(self.text(name))

    @property
    def has_tokens(self) -> bool:
        """Whether requests need a token."""
        return not self.flag("disable_token_authorization")

    @cached_property
    def addresses(self) -> dict[str, Address]:
        """Where the HTTP interfaces listen, as far as the addresses are valid."""
        found = {name: parse_address(name, self.text(name) or "") for name in ADDRESSES}
        if not self.flag("enable_metrics_api"):
            del found["metrics_address"]
        return {name: address for name, address in found.items() if address is not None}

    @property
    def vm_arguments(self) -> list[str]:
        """The arguments of the Java machine, those first that others override."""
        own = self.launcher.get("vmargs", "") if self.read_by_launcher else ""
        before = [
            self.environment.get(each, "") for each in ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS")
        ]
        return " ".join([*before, own, self.environment.get("_JAVA_OPTIONS", "")]).split()

    def heap(self, memory: int) -> int:
        """Return the largest size of the Java heap, by default a quarter of the memory."""
        heap = memory // 4
        for argument in self.vm_arguments:
            size = re.fullmatch(r"(?:-Xmx|-XX:MaxHeapSize=)(.*)", argument)
            if size:
                heap = parse_size(size[1]) or heap
            share = re.fullmatch(r"-XX:MaxRAMPercentage=(\d+(?:\.\d+)?)", argument)
            if share:
                heap = int(memory * float(share[1]) / 100)
        return heap


def read_properties(target: Path, environment: Mapping[str, str]) -> ServerProperties:
    """Read a configuration.

    :param target: a file, which the server is given by ``--ts-config``; or a folder, in which it is
        started without that option.
    :raises OSError: if it cannot be read.
    """
    if not target.is_dir():
        return ServerProperties(target, target.parent, True, target.read_bytes(), environment)
    given = environment.get("TS_CONFIG_FILE")
    path = target / (given or "config.properties")
    if not given and not path.exists():
        return ServerProperties(None, target, False, b"", environment)
    return ServerProperties(path, target, bool(given), path.read_bytes(), environment)
