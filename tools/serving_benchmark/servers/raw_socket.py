"""A server that returns what it gets: ``python -m serving_benchmark.servers.raw_socket PORT``."""

import socket
import sys
import threading


def converse(sock: socket.socket) -> None:
    """Receive a length and that many bytes, send them back, and repeat."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with sock:
        while head := sock.recv(8, socket.MSG_WAITALL):
            body = bytearray(int.from_bytes(head, "little"))
            rest = memoryview(body)
            while rest and (received := sock.recv_into(rest)):
                rest = rest[received:]
            sock.sendall(body)


def main(port: int) -> None:
    """Serve each connection from a thread."""
    listener = socket.create_server(("127.0.0.1", port), backlog=64)
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=converse, args=(sock,), daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]))
