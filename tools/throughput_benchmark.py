"""Measure how many small requests a second one worker of uvicorn answers, and how many two do.

Sixteen connections send the same request of 1 KiB again and again, from one process that does
little more than read and write; each answer is checked. The servers are measured in turns, and
``eisen-serve run`` has its defaults.

Usage: ``python tools/throughput_benchmark.py [--rounds N] [--seconds N]`` in an environment that
has the three distributions and uvicorn. Prints the medians and their ratio.
"""

from __future__ import annotations

import argparse
import selectors
import socket
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from soak import SMALL, pack, served

from eisen_deploy.client._shared.wire import protocol

CONNECTIONS = 16
WORKERS = (1, 2)
X = np.arange(SMALL // 4, dtype=np.float32)[None]
ANSWER = (2 * X + 1).tobytes()


def make_request(url: str) -> bytes:
    """Return a whole request as it is sent."""
    address = urlsplit(url)
    body = protocol.encode_request({"x": X})
    headers = {"Host": address.netloc, "Content-Length": body.size, **body.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {address.path} HTTP/1.1\r\n{lines}\r\n".encode("ascii") + b"".join(body.buffers)


def count_answers(url: str, seconds: float) -> float:
    """Return the answers a second that all connections get together.

    :raises SystemExit: if one of them is wrong.
    """
    address, request = urlsplit(url), make_request(url)
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(CONNECTIONS):
            connection = socket.create_connection((address.hostname, address.port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(stack.enter_context(connection), selectors.EVENT_READ, bytearray())
            connection.sendall(request)
        count, start = 0, time.perf_counter()
        while (passed := time.perf_counter() - start) < seconds:
            for key, _ in selector.select(1.0):
                connection, received = key.fileobj, key.data
                received += connection.recv(2**16)
                if not is_whole(received):
                    continue
                if not (received.startswith(b"HTTP/1.1 200") and received.endswith(ANSWER)):
                    raise SystemExit(f"a wrong answer: {bytes(received[:200])!r}")
                received.clear()
                count += 1
                connection.sendall(request)
    return count / passed


def is_whole(received: bytearray) -> bool:
    """Whether an answer has all its bytes."""
    head, end, body = received.partition(b"\r\n\r\n")
    size = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    return bool(end) and len(body) >= int(size)


def main() -> None:
    """Measure in turns, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a turn; default: 5")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as name, ExitStack() as stack:
        urls = {}
        for workers in WORKERS:
            folder = Path(name) / str(workers)
            archive = pack(folder / "zoo", workers)
            server = served(archive, "uvicorn", sys.executable, folder)
            urls[workers] = stack.enter_context(server).url
        for url in urls.values():  # all code has run before it is measured
            count_answers(url, arguments.seconds)
        turns = []
        for _ in range(arguments.rounds):
            turns.append({n: count_answers(url, arguments.seconds) for n, url in urls.items()})
            print({workers: round(rate) for workers, rate in turns[-1].items()}, flush=True)
    one, two = (statistics.median(turn[workers] for turn in turns) for workers in WORKERS)
    ratio = statistics.median(turn[2] / turn[1] for turn in turns)
    print(f"one worker {one:.0f} answers a second, two {two:.0f} ({ratio:.2f} times as many)")


if __name__ == "__main__":
    main()
