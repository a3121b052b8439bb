"""The tuned profile: what is set on every TorchServe, why, and what it did when it was measured.

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
    :param reason: one sentence.
    :param effect: what was measured, or empty.
    """

    kind: Literal["property", "vmarg", "environment", "log"]
    name: str
    value: str
    reason: str
    effect: str = ""


#: What is set on every server. How it was searched, what else was tried, and how to repeat it:
#: ``docs/tuned-profile.rst``. *Seconds of the processor* are those of the Java virtual machine for
#: one upload; they vary less than those on the clock.
TUNED: tuple[Setting, ...] = (
    Setting(
        "vmarg",
        "-Dio.netty.tryReflectionSetAccessible=",
        "true",
        "Netty takes memory outside of the heap without filling it with zeros first",
        "64 MiB: 0.27 to 0.18 s of the processor, with the next one",
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
        "new objects have so much, and not what Java thinks good: its memory stays flat under load",
        "64 MiB and small in turns for 14 minutes: Java grew from 1.5 to 2.8 GiB without",
    ),
    Setting(
        "vmarg",
        "-XX:+ExitOnOutOfMemoryError",
        "",
        "a server whose heap was exhausted ends, and can be started again, instead of limping on",
    ),
    *(Setting("environment", *variable) for variable in ALLOCATOR),
    Setting(
        "log",
        "ACCESS_LOG",
        "warn",
        "a line for each request costs time and disk",
        "1 KiB there and back: 1.1 to 0.95 ms, with the next one",
    ),
    Setting(
        "log",
        "org.pytorch.serve",
        "warn",
        "TorchServe writes a dozen lines for each request otherwise",
    ),
)
