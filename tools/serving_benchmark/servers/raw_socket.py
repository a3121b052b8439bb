"""A server of bytes and nothing else: ``python -m serving_benchmark.servers.raw_socket PORT``.

It returns what it gets, or what the model of the task makes of that.
"""

import os
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial

from serving_benchmark import models

Answer = Callable[[bytearray], memoryview]


def make_answer(task: str) -> Answer:
    """Return what turns the bytes of a request into those of a reply."""
    if task == "echo":
        return memoryview
    predict = partial(models.predict, models.make(task), task)
    return lambda body: memoryview(predict(body)).cast("B")


def converse(sock: socket.socket, answer: Answer) -> None:
    """Receive a length and that many bytes, send the reply, and repeat."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with sock:
        while head := sock.recv(8, socket.MSG_WAITALL):
            body = bytearray(int.from_bytes(head, "little"))
            rest = memoryview(body)
            while rest and (received := sock.recv_into(rest)):
                rest = rest[received:]
            sock.sendall(answer(body))


def main(port: int) -> None:
    """Serve each connection from a thread."""
    answer = make_answer(os.environ["BENCHMARK_TASK"])
    listener = socket.create_server(("127.0.0.1", port), backlog=64)
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=converse, args=(sock, answer), daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]))
