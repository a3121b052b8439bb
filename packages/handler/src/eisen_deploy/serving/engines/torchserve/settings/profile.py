"""The tuned profile: what is set on every TorchServe, and why.

Data only. What depends on the machine, the archives or the options is in ``configuration``.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from eisen_deploy.serving.engines.environment.allocator import ALLOCATOR


class Setting(NamedTuple):
    """One setting of a server.

    :param kind: ``property`` (a line of ``config.properties``), ``vmarg`` (an argument of the Java
        virtual machine; the value is empty where the name says it all), ``environment`` (a
        variable of the server and its workers) or ``log`` (the level of a logger).
    :param reason: a few words; they are printed above the setting.
    """

    kind: Literal["property", "vmarg", "environment", "log"]
    name: str
    value: str
    reason: str


#: What is set on every server. What it did when it was measured, what else was tried, and how to
#: repeat it: ``docs/tuned-profile.rst``.
TUNED: tuple[Setting, ...] = (
    Setting(
        "vmarg",
        "-Dio.netty.tryReflectionSetAccessible=",
        "true",
        "Netty does not fill memory with zeros first",
    ),
    Setting(
        "vmarg",
        "--add-opens=",
        "java.base/java.nio=ALL-UNNAMED",
        "what the setting before needs on Java 17",
    ),
    Setting(
        "vmarg",
        "-Xmn",
        "256m",
        "new objects have so much: Java's memory stays flat under load",
    ),
    Setting(
        "vmarg",
        "-XX:+ExitOnOutOfMemoryError",
        "",
        "a server whose heap was exhausted ends, and is started again",
    ),
    *(Setting("environment", *variable) for variable in ALLOCATOR),
    Setting(
        "log",
        "ACCESS_LOG",
        "warn",
        "a line for each request costs time and disk",
    ),
    Setting(
        "log",
        "org.pytorch.serve",
        "warn",
        "TorchServe writes a dozen lines for each request otherwise",
    ),
)
