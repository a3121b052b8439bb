"""Measure what each setting of the tuned profile does, and what else was tried.

Each variant has a running server. A client that only moves bytes calls them in turns, each turn in
another order, after some seconds of requests that do not count. The handler of the model returns
the bytes, or only keeps them (*up*). The table shows the milliseconds of a request on the clock,
and those of the processor that Java used for it, in its own code and in the kernel. Other work on
the machine changes the latter less.

Usage: ``python tools/tune_torchserve.py [--sizes BYTES ...] [--rounds N] [--calls N] [--python
FILE] [VARIANT ...]``; ``--python`` is the interpreter of TorchServe's environment. Linux only.
Prints a table in reStructuredText.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from eisen_deploy.serving.engines.machine import measure_machine
from eisen_deploy.serving.engines.options import Options
from eisen_deploy.serving.engines.torchserve.launcher import TorchServe
from eisen_deploy.serving.engines.torchserve.settings import logging_config
from eisen_deploy.serving.engines.torchserve.settings.configuration import Configuration, configure
from eisen_deploy.serving.engines.torchserve.settings.profile import TUNED, Setting

MIB = 2**20
#: Seconds of requests before the first that counts: Java compiles what has run thousands of times.
HEAT = 8.0
SIZES = [2**10, 588 * 2**10, 8 * MIB, 64 * MIB]
TICK = 1000 / os.sysconf("SC_CLK_TCK")  # milliseconds
_HANDLER = """
def handle(rows, context):
    if rows is None:
        return None
    bodies = [row.get("body") or b"" for row in rows]
    asked = [context.get_all_request_header(index).get("X-Keep") for index in range(len(rows))]
    return [b"kept" if keep else body for keep, body in zip(asked, bodies)]
"""

# --- the variants -------------------------------------------------------------------------


def _with(*settings: tuple[str, str, str]) -> tuple[Setting, ...]:
    return tuple(Setting(kind, name, value, "") for kind, name, value in settings)  # type: ignore[arg-type]


#: Settings that are not in the profile, because they made no measurable difference or did harm.
TRIED: dict[str, tuple[Setting, ...]] = {
    "unpooled buffers": _with(("vmarg", "-Dio.netty.allocator.type=", "unpooled")),
    "the quick compiler only": _with(("vmarg", "-XX:TieredStopAtLevel=", "1")),
    "serial collector": _with(("vmarg", "-XX:+UseSerialGC", "")),
    "parallel collector": _with(("vmarg", "-XX:+UseParallelGC", "")),
    "regions of 32 MiB": _with(("vmarg", "-XX:G1HeapRegionSize=", "32m")),
    "huge pages for the heap": _with(("vmarg", "-XX:+UseTransparentHugePages", "")),
    "huge pages for malloc": _with(("environment", "GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")),
    "malloc grows by 256 MiB": _with(("environment", "MALLOC_TOP_PAD_", "268435456")),
    "no checks of bounds": _with(
        ("vmarg", "-Dio.netty.buffer.checkBounds=", "false"),
        ("vmarg", "-Dio.netty.buffer.checkAccessible=", "false"),
    ),
    "one thread for HTTP, one for workers": _with(
        ("property", "number_of_netty_threads", "1"), ("property", "netty_client_threads", "1")
    ),
    "sockets of Java": _with(("property", "use_native_io", "false")),
    "direct buffers": _with(("property", "prefer_direct_buffer", "true")),
}


def variants() -> dict[str, Configuration]:
    """Return the profile, the profile without each setting in turn, and what else was tried."""
    tuned = configure(Options(max_body=600 * MIB), measure_machine())
    found = {"the profile": tuned, "stock": _changed(tuned, without=[each.name for each in TUNED])}
    for setting in TUNED:
        found[f"without {setting.name}{setting.value}"] = _changed(tuned, without=[setting.name])
    return found | {name: _changed(tuned, added=added) for name, added in TRIED.items()}


def _changed(
    whole: Configuration, without: list[str] | None = None, added: tuple[Setting, ...] = ()
) -> Configuration:
    gone = {*(without or ()), *(each.name for each in added)}
    return Configuration((*(each for each in whole.settings if each.name not in gone), *added))


# --- a server, and a request to it ----------------------------------------------------------


class Variant:
    """A server that runs with one configuration, and a connection to it."""

    def __init__(
        self, stack: ExitStack, folder: Path, settings: Configuration, python: str
    ) -> None:
        (folder / "store").mkdir(parents=True)
        _write_archive(folder / "store" / "bare.mar")
        (folder / "log4j2.xml").write_text(logging_config.render(settings.log_levels), "ascii")
        ports = [name for name in settings.properties if name.endswith(("_address", "_port"))]
        config = {name: value for name, value in settings.properties.items() if name not in ports}
        files = {"--ts-config": "config.properties", "--log-config": "log4j2.xml"}
        self.server = TorchServe(
            folder,
            folder / "store",
            ["bare.mar"],
            config=config,
            python=python,
            options=[text for name, file in files.items() for text in (name, str(folder / file))],
            variables={**settings.environment, "LOG_LOCATION": str(folder / "logs")},
        )
        stack.enter_context(self.server)
        self.server.wait_ready("bare")
        address = urlsplit(self.server.inference_url)
        self.connection = http.client.HTTPConnection(
            str(address.hostname), address.port, timeout=60
        )
        self.java = next(_javas(folder))

    def ask(self, body: bytes, into: memoryview, headers: Mapping[str, str]) -> None:
        """Send a body and read the reply."""
        self.connection.request("POST", "/predictions/bare", body, headers)
        answer = self.connection.getresponse()
        known = 0
        while count := answer.readinto(into[known:]):
            known += count
        if answer.status != 200:
            raise SystemExit(f"answered {answer.status}: {bytes(into[:known])[:200]!r}")

    def processor(self) -> tuple[float, float]:
        """Return the milliseconds that Java has used so far, without those of its compilers."""
        spent = [0.0, 0.0]
        for thread in Path(f"/proc/{self.java}/task").iterdir():
            with suppress(OSError):
                name, _, rest = (thread / "stat").read_text().rpartition(")")
                if "CompilerThre" not in name:
                    spent[0] += int(rest.split()[11]) * TICK
                    spent[1] += int(rest.split()[12]) * TICK
        return spent[0], spent[1]


def _write_archive(path: Path) -> None:
    model = {"modelName": "bare", "modelVersion": "1.0", "handler": "bare.py"}
    manifest = {"runtime": "python", "archiverVersion": "0.12.0", "model": model}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
        archive.writestr("bare.py", _HANDLER)


def _javas(folder: Path) -> Iterator[int]:
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if b"org.pytorch.serve.ModelServer" in words and str(folder).encode() in b" ".join(
                words
            ):
                yield int(entry.name)


# --- measuring ----------------------------------------------------------------------------


class Cost(NamedTuple):
    """Milliseconds of one request: on the clock, and of the processor in own code and kernel."""

    clock: float
    own: float
    kernel: float


def measure(asked: dict[str, Variant], size: int, rounds: int, calls: int) -> dict[str, list[Cost]]:
    """Return the costs of each variant, one for each round."""
    body, into = os.urandom(min(size, MIB)) * max(1, size // MIB), memoryview(bytearray(size))
    kinds: list[Mapping[str, str]] = [{}, {"X-Keep": "yes"}] if size >= MIB else [{}]
    costs: dict[str, list[Cost]] = {}
    for headers in kinds:
        for variant in asked.values():
            end = time.monotonic() + HEAT
            while time.monotonic() < end:
                variant.ask(body, into, headers)
        for _ in range(rounds):
            for name in random.sample(list(asked), len(asked)):
                before, times = asked[name].processor(), []
                for _ in range(calls):
                    start = time.perf_counter()
                    asked[name].ask(body, into, headers)
                    times.append(1000 * (time.perf_counter() - start))
                after = asked[name].processor()
                spent = [(b - a) / calls for a, b in zip(before, after, strict=True)]
                key = f"{name}, up" if headers else name
                costs.setdefault(key, []).append(Cost(statistics.median(times), *spent))
    return costs


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help="default: all")
    parser.add_argument("--sizes", nargs="*", type=int, default=SIZES, metavar="BYTES")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, help="in each; default: as the size allows")
    parser.add_argument("--python", default=sys.executable, help="of TorchServe's environment")
    given = parser.parse_args()
    every = variants()
    wanted = {name: every[name] for name in given.variants or every}
    for size in given.sizes:
        calls = given.calls or max(2, min(100, 16 * MIB // size))
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tune-")))
            asked = {
                name: Variant(stack, folder / str(number), settings, given.python)
                for number, (name, settings) in enumerate(wanted.items())
            }
            _print(size, measure(asked, size, given.rounds, calls))


def _print(size: int, costs: dict[str, list[Cost]]) -> None:
    print(f"\n.. list-table:: {size} bytes\n   :header-rows: 1\n")
    rows = [("", "Clock, ms", "Java, ms", "Kernel, ms")]
    for name, measured in costs.items():
        medians = [f"{statistics.median(column):.3g}" for column in zip(*measured, strict=True)]
        rows.append((name, *medians))  # type: ignore[arg-type]
    for row in rows:
        print("   * - " + "\n     - ".join(row), flush=True)


if __name__ == "__main__":
    main()
