"""Servers that share a listening socket share the connections."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time

import pytest
import trustme

from eisen_deploy.serving.engines.uvicorn.sharing import SharingServer

COUNT = 16
PING = b"GET /ping HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture(params=["asyncio", "uvloop"])
def start(request, serve):
    """Start a server that shares a socket."""

    def _start(listener, **options):
        server = {"kind": SharingServer, "loop": request.param, "listener": listener, **options}
        return serve(server=server)

    return _start


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0), backlog=64) as opened:
        yield opened


def open_many(stack, served):
    """Open connections all at once, as a client with many threads does; each is answered."""
    opened = [stack.enter_context(served.connect()) for _ in range(COUNT)]
    for connection in opened:
        connection.sendall(PING)
    assert all(connection.recv(12) == b"HTTP/1.1 200" for connection in opened)


def test_connections_that_are_opened_together_are_shared(start, listener):
    servers = [start(listener.dup()) for _ in range(2)]
    with contextlib.ExitStack() as stack:
        open_many(stack, servers[0])
        counts = [len(each.connections) for each in servers]
        assert sum(counts) == COUNT
        assert min(counts) >= 2
        for each in (each for server in servers for each in server.connections):
            option = each.transport.get_extra_info("socket").getsockopt
            assert option(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_server_that_has_stopped_leaves_all_to_the_others(start, listener):
    left = start(listener.dup())
    start(listener.dup()).stop()
    with contextlib.ExitStack() as stack:
        open_many(stack, left)
        assert len(left.connections) == COUNT


def test_who_does_not_speak_tls_holds_up_nobody(start, listener, tmp_path):
    authority, certificate = trustme.CA(), tmp_path / "server.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
    served = start(listener.dup(), ssl_certfile=certificate)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with served.connect() as silent, served.connect() as plain:
        plain.sendall(PING)
        with context.wrap_socket(served.connect(), server_hostname="localhost") as connection:
            connection.sendall(PING)
            assert connection.recv(12) == b"HTTP/1.1 200"
        assert silent.fileno() > 0
    end = time.monotonic() + 10
    while served.connections and time.monotonic() < end:
        time.sleep(0.02)
    assert not served.connections
