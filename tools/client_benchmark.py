"""Compare what 64 MiB to a model and 64 MiB back cost a workstation with several clients.

One server, which only moves bytes, answers all of them. Each client runs in a fresh process, in
turns, each turn in another order: one call for memory and to warm up, then those that are timed.
All are compared with ``requests.post(url, data=body).content``, which sends the bytes of our
client's own request, and neither encodes nor decodes. The time is that of the client's process, of
the processor and on the clock. Memory is the increase of the peak of resident memory during the
first call; the input and the client exist before.

Usage: ``python tools/client_benchmark.py [--size MIB] [--runs N] [--calls N] [--page FILE]`` in an
environment that has ``eisen-deploy-client``. ``tritonclient[http]``, ``bentoml``, and ``msgpack``
with ``msgpack-numpy`` are measured if they are installed. Linux only. Prints a table in
reStructuredText, or puts it into the page.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import re
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MIB = 2**20
PIECE = 2**20

# --- the server ---------------------------------------------------------------------------


def serve(folder: Path) -> None:
    """Answer every request with the file of its path, until this process is ended."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=converse, args=(sock, folder), daemon=True).start()


def converse(sock: socket.socket, folder: Path) -> None:
    """Answer the requests of one connection."""
    with sock, sock.makefile("rb", buffering=0) as stream:
        while (head := read_head(stream)) is not None:
            path, headers = head
            discard(sock, int(headers.get("content-length", "0")))
            answer(sock, folder, path, headers)


def read_head(stream: Any) -> tuple[str, dict[str, str]] | None:
    """Return path and headers of the next request, and read nothing of its body."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = stream.read(1)
        if not byte:
            return None
        head += byte
    line, *fields = head.decode("latin-1").rstrip().split("\r\n")
    pairs = (field.partition(":") for field in fields)
    return line.split()[1], {name.lower(): value.strip() for name, _, value in pairs}


def discard(sock: socket.socket, length: int) -> None:
    """Receive this many bytes and forget them."""
    buffer = bytearray(PIECE)
    while length > 0:
        received = sock.recv_into(buffer, min(length, PIECE))
        if not received:
            raise ConnectionError("the client left in the middle of a request")
        length -= received


def answer(sock: socket.socket, folder: Path, path: str, headers: dict[str, str]) -> None:
    """Send the answer for a path: the protocol's reply, or the bytes of a file."""
    kind = path.strip("/").split("/")[0]
    name = {"predictions": "tensor", "v2": "tensor"}.get(kind, kind)
    with (folder / name).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        is_json = name.endswith(".json")
        front, fields = b"", f"Content-Type: application/{'json' if is_json else 'octet-stream'}"
        if name == "tensor":
            front = protocol_part(size, headers.get("x-request-id"))
            fields += f"\r\nInference-Header-Content-Length: {len(front)}"
        start = f"HTTP/1.1 200 OK\r\nContent-Length: {len(front) + size}\r\n{fields}\r\n\r\n"
        sock.sendall(start.encode() + front)
        sock.sendfile(file)


def protocol_part(size: int, request_id: str | None) -> bytes:
    """Return the JSON part of a reply with one array of floats, padded as our handler does."""
    tensor = {"name": "y", "shape": [size // 4], "datatype": "FP32"}
    reply: dict[str, Any] = {"model_name": "echo", "model_version": "1"}
    if request_id is not None:
        reply["id"] = request_id
    reply["outputs"] = [{**tensor, "parameters": {"binary_data_size": size}}]
    text = json.dumps(reply).encode()
    return text.ljust(-(-len(text) // 64) * 64)


# --- the clients: each takes a URL and an array, and returns a function that makes one call ---

Call = Callable[[], Any]


def ours(url: str, array: np.ndarray) -> Call:
    """Return a call of our client."""
    from eisen_deploy.client import EisenServingClient  # noqa: PLC0415

    client = EisenServingClient(f"{url}/predictions/echo")
    return lambda: client.predict({"x": array})["y"]


def plain(url: str, array: np.ndarray) -> Call:
    """Return a call that sends and receives our client's bytes, and does nothing with them."""
    import requests  # noqa: PLC0415

    from eisen_deploy.client._shared.wire import protocol  # noqa: PLC0415

    body = protocol.encode_request({"x": array})
    headers, data = body.headers, b"".join(body.buffers)
    target = f"{url}/predictions/echo"
    return lambda: requests.post(target, data=data, headers=headers, timeout=300).content


def triton(url: str, array: np.ndarray) -> Call:
    """Return a call of Triton's client."""
    from tritonclient import http  # noqa: PLC0415

    client = http.InferenceServerClient(url.removeprefix("http://"), network_timeout=300)

    def call() -> np.ndarray:
        tensor = http.InferInput("x", array.shape, "FP32")
        tensor.set_data_from_numpy(array, binary_data=True)
        wanted = [http.InferRequestedOutput("y", binary_data=True)]
        return client.infer("echo", [tensor], outputs=wanted).as_numpy("y")

    return call


def msgpack(url: str, array: np.ndarray) -> Call:
    """Return a call with ``requests``, packed with msgpack both ways."""
    import msgpack as packer  # noqa: PLC0415
    import msgpack_numpy  # noqa: PLC0415
    import requests  # noqa: PLC0415

    session = requests.Session()

    def call() -> np.ndarray:
        data = packer.packb({"x": array}, default=msgpack_numpy.encode)
        answer = session.post(f"{url}/msgpack", data=data, timeout=300)
        return packer.unpackb(answer.content, object_hook=msgpack_numpy.decode)["y"]

    return call


def bentoml(url: str, array: np.ndarray) -> Call:
    """Return a call of BentoML's client with files, because it sends arrays as numbers in JSON."""
    from bentoml import SyncHTTPClient  # noqa: PLC0415

    client = SyncHTTPClient(url, timeout=300)
    sent = Path("x.npy")

    def call() -> np.ndarray:
        np.save(sent, array)
        received = client.call("echo", x=sent)
        try:
            return np.load(received)
        finally:
            received.unlink()

    return call


class System(NamedTuple):
    """One client: its call, its title in the table, and the modules that it needs."""

    call: Callable[[str, np.ndarray], Call]
    title: str
    modules: tuple[str, ...] = ()
    distributions: tuple[str, ...] = ()


SYSTEMS = {
    "plain": System(plain, "``requests.post(...).content``", ("requests",), ("requests",)),
    "ours": System(
        ours, "``EisenServingClient``", ("eisen_deploy.client",), ("eisen-deploy-client",)
    ),
    "triton": System(triton, "``tritonclient[http]``", ("tritonclient",), ("tritonclient",)),
    "bentoml": System(bentoml, "``bentoml``, files", ("bentoml", "PIL"), ("bentoml",)),
    "msgpack": System(
        msgpack,
        "``requests``, msgpack",
        ("msgpack", "msgpack_numpy"),
        ("msgpack", "msgpack-numpy"),
    ),
}


def random_array(size: int) -> np.ndarray:
    """Return ``size`` MiB of 32-bit floats, without making a second array."""
    return np.random.default_rng(0).random(size * MIB // 4, dtype=np.float32)


def work(name: str, url: str, size: int, calls: int) -> None:
    """Run one client in this process and print what it took."""
    array = random_array(size)
    call = SYSTEMS[name].call(url, array)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = residence("VmRSS")
    last = call()
    peak = residence("VmHWM")
    check(last, array)
    del last
    started, used = time.perf_counter(), processor()
    for _ in range(calls):
        call()
    wall, cpu = time.perf_counter() - started, processor() - used
    costs = {"cpu": cpu / calls, "wall": wall / calls, "peak": peak - before}
    print(json.dumps(costs))


def check(answer: Any, array: np.ndarray) -> None:
    """Raise an error if a client did not return what the server has, which is the array itself."""
    if isinstance(answer, bytes):
        answer = np.frombuffer(answer[-array.nbytes :], array.dtype)
    if answer.dtype != array.dtype or not np.array_equal(answer, array):
        raise ValueError("the client returned something else than the array")


def processor() -> float:
    """Return the seconds of processor time that this process has used."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def residence(field: str) -> float:
    """Return the MiB of resident memory of this process: now, ``VmRSS``, or at its peak, ``VmHWM``.

    ``ru_maxrss`` cannot be used: it begins with the memory of the process that started this one.
    """
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{field}:\s*(\d+) kB", status)[1]) / 1024  # type: ignore[index]


# --- the measurement ----------------------------------------------------------------------


@contextmanager
def server(size: int) -> Iterator[str]:
    """Run the server with its files, and yield its URL."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        array = random_array(size)
        array.tofile(folder / "tensor")
        np.save(folder / "bentoml.npy", array)
        (folder / "readyz").touch()
        (folder / "schema.json").write_text(json.dumps({"routes": [BENTOML_ROUTE]}))
        if is_installed("msgpack"):
            write_msgpack(folder, array)
        command = [sys.executable, __file__, "--serve", str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield f"http://127.0.0.1:{int(process.stdout.readline())}"  # type: ignore[union-attr]
            finally:
                process.terminate()


def write_msgpack(folder: Path, array: np.ndarray) -> None:
    """Write the reply for msgpack."""
    import msgpack as packer  # noqa: PLC0415
    import msgpack_numpy  # noqa: PLC0415

    (folder / "msgpack").write_bytes(packer.packb({"y": array}, default=msgpack_numpy.encode))


#: How a service of BentoML describes itself.
BENTOML_ROUTE = {
    "name": "echo",
    "route": "/bentoml.npy",
    "input": {"type": "object", "properties": {"x": {"type": "file"}}},
    "output": {"type": "file"},
}


def is_installed(name: str) -> bool:
    """Whether a system can be measured here."""
    return all(importlib.util.find_spec(module) for module in SYSTEMS[name].modules)


def run(name: str, url: str, size: int, calls: int) -> dict[str, float]:
    """Run one client in a process of its own."""
    command = [sys.executable, __file__, "--work", name, "--url", url]
    command += ["--size", str(size), "--calls", str(calls)]
    clean = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    with tempfile.TemporaryDirectory() as folder:  # some write files
        output = subprocess.check_output(command, text=True, env=clean, cwd=folder)
    costs: dict[str, float] = json.loads(output)
    return costs


Measured = dict[str, list[dict[str, float]]]


def measure(names: list[str], size: int, runs: int, calls: int) -> Measured:
    """Return the results of all ``runs`` turns, by the name of the system."""
    measured: Measured = {name: [] for name in names}
    with server(size) as url:
        for turn in range(runs):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                measured[name].append(run(name, url, size, calls))
    return measured


def row(name: str, measured: Measured, size: int) -> list[str]:
    """Return one line of the table."""
    cells, base = [SYSTEMS[name].title], measured["plain"]
    for key in ("cpu", "wall"):
        values = [turn[key] for turn in measured[name]]
        ratios = [turn[key] / other[key] for turn, other in zip(measured[name], base, strict=True)]
        spread = f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"
        cells += [spread, f"{statistics.median(ratios):.2f}"]
    peak = statistics.median(turn["peak"] for turn in measured[name])
    return [*cells, f"{peak:.0f}", f"{peak / size:.2f}"]


def table(measured: Measured, size: int) -> str:
    """Return the medians as a table."""
    titles = ["", "Processor, s", "Ratio", "Clock, s", "Ratio", "Memory, MiB", "Of the reply"]
    rows = [titles, *(row(name, measured, size) for name in measured)]
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for cells in rows:
        marks = ["* -", *["  -"] * (len(cells) - 1)]
        lines += [f"   {mark} {cell}".rstrip() for mark, cell in zip(marks, cells, strict=True)]
    return "\n".join(lines)


def circumstances(names: list[str], given: argparse.Namespace) -> str:
    """Return what the numbers depend on."""
    distributions = {"numpy", "urllib3"}.union(*(SYSTEMS[name].distributions for name in names))
    versions = ", ".join(f"{each} {version(each)}" for each in sorted(distributions))
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    return (
        f"{given.size} MiB each way; medians of {given.runs} turns of {given.calls} calls (lowest "
        f"to highest); a ratio is the median of those of the turns. Python "
        f"{platform.python_version()}, {versions}; {os.cpu_count()} cores, {platform.system()} "
        f"{platform.machine()}; load {load}."
    )


def put_into(page: Path, text: str) -> None:
    """Replace the text between the two marks of a page."""
    marks = r"(?s)(?<=\n\.\. measured\n\n).*?(?=\.\. end of what was measured\n)"
    replaced, count = re.subn(marks, lambda _: f"{text}\n\n", page.read_text(encoding="utf-8"))
    if count != 1:
        raise ValueError(f"{page} has no place for the table")
    page.write_text(replaced, encoding="utf-8")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--size", type=int, default=64, help="MiB each way")
    add("--runs", type=int, default=9, help="turns")
    add("--calls", type=int, default=5, help="calls that are timed in each")
    add("--page", type=Path, help="put the table into this page instead of printing it")
    add("--serve", type=Path, help=argparse.SUPPRESS)
    add("--work", help=argparse.SUPPRESS)
    add("--url", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure and print, or do one piece of the work."""
    given = arguments()
    if given.serve:
        serve(given.serve)
        return
    if given.work:
        work(given.work, given.url, given.size, given.calls)
        return
    names = [name for name in SYSTEMS if is_installed(name)]
    before = circumstances(names, given)
    text = f"{table(measure(names, given.size, given.runs, given.calls), given.size)}\n\n{before}"
    put_into(given.page, text) if given.page else print(text)


if __name__ == "__main__":
    main()
