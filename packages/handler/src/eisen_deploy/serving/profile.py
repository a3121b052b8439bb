"""The tuned profile: what is set on every TorchServe, why, and what it did when it was measured.

Data only. What depends on the machine, the archives or the options is in ``configuration``.
"""

from __future__ import annotations

from typing import Literal, NamedTuple


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


#: What is set on every server.
TUNED: tuple[Setting, ...] = (
    Setting(
        "vmarg",
        "-Dio.netty.allocator.type=",
        "unpooled",
        "a reply's buffer grows in place instead of being copied every 4 MiB",
        "reply of 256 MiB: 10 s to 2.1 s, with the two settings that follow",
    ),
    Setting(
        "vmarg",
        "-Dio.netty.tryReflectionSetAccessible=",
        "true",
        "lets Netty resize memory outside of the heap",
    ),
    Setting(
        "vmarg",
        "--add-opens=",
        "java.base/java.nio=ALL-UNNAMED",
        "what the setting before needs on Java 17",
    ),
    Setting(
        "vmarg",
        "-XX:+ExitOnOutOfMemoryError",
        "",
        "a server whose heap was exhausted ends, and can be started again, instead of limping on",
    ),
    Setting(
        "environment",
        "MALLOC_ARENA_MAX",
        "1",
        "one heap of malloc for all threads: what a large body leaves, the next one uses",
        "256 MiB up: 7.5 s to 3.0 s, with the five settings of malloc together",
    ),
    Setting(
        "environment",
        "MALLOC_MMAP_MAX_",
        "0",
        "large buffers come from that heap, and are not mapped and zeroed by the kernel each time",
    ),
    Setting(
        "environment",
        "MALLOC_TRIM_THRESHOLD_",
        "8589934592",
        "freed memory is kept for the next body instead of being given back",
    ),
    Setting(
        "environment",
        "MALLOC_TOP_PAD_",
        "268435456",
        "the heap grows in large steps",
    ),
    Setting(
        "environment",
        "GLIBC_TUNABLES",
        "glibc.malloc.hugetlb=1",
        "memory comes in huge pages: fewer page faults",
    ),
    Setting(
        "log",
        "ACCESS_LOG",
        "warn",
        "a line for each request costs time and disk",
        "with the next one, 1 to 2 ms of a small request",
    ),
    Setting(
        "log",
        "org.pytorch.serve",
        "warn",
        "TorchServe writes a dozen lines for each request otherwise",
    ),
)
