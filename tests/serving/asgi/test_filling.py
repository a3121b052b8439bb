"""Large bodies, which no parser reads, on both event loops and over TLS."""

from __future__ import annotations

import contextlib
import json
import ssl
import time
from hashlib import sha256

import numpy as np
import pytest
import trustme

from eisen_deploy.serving.engines.uvicorn import filling
from eisen_deploy.serving.runtime.messages import Reply

HEAD = b"POST /predictions/seg HTTP/1.1\r\nHost: h\r\n"
BODY = np.random.default_rng(0).bytes(5 * 2**20 + 3)
LARGE = HEAD + f"Content-Length: {len(BODY)}\r\n".encode("ascii")
DIGEST = sha256(BODY).digest()
LAST = HEAD + b"Connection: close\r\nContent-Length: 4\r\n\r\nlast"


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request):
    return {"loop": request.param}


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(params=["plain", "TLS"])
def open_server(request, serve, loop, authority, tmp_path):
    """Start a server and return what connects to it."""

    @contextlib.contextmanager
    def connect_plainly(served):
        with served.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def connect_by_tls(served):
        context = ssl.create_default_context()
        authority.configure_trust(context)
        with (
            served.connect() as plain,
            context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            yield connection

    def start(*arguments, **options):
        if request.param == "plain":
            served = serve(*arguments, server=loop, **options)
            return served, lambda: connect_plainly(served)
        certificate = tmp_path / "server.pem"
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
        server = {**loop, "ssl_certfile": certificate}
        served = serve(*arguments, server=server, **options)
        return served, lambda: connect_by_tls(served)

    return start


@pytest.fixture
def filled(monkeypatch):
    """The sizes of what was received without the parser."""
    monkeypatch.setattr("eisen_deploy.serving.engines.asgi.replies.POLITE_SECONDS", 0.3)
    sizes = []

    class Noted(filling.Filling):
        def __init__(self, connection, view):
            sizes.append(len(view))
            super().__init__(connection, view)

    monkeypatch.setattr("eisen_deploy.serving.engines.uvicorn.protocol.Filling", Noted)
    return sizes


def read_all(connection):
    answer = bytearray()
    with contextlib.suppress(ssl.SSLEOFError):
        while piece := connection.recv(2**20):
            answer += piece
    return bytes(answer)


def digest(requests):
    return [Reply((sha256(each.body).digest(),)) for each in requests]


def split(answers):
    return [each.partition(b"\r\n\r\n")[2] for each in answers.split(b"HTTP/1.1 200 OK")[1:]]


def test_what_follows_a_large_body_is_a_request_of_its_own(open_server, filled):
    _, connect = open_server(digest)
    with connect() as connection:
        connection.sendall(LARGE + b"\r\n" + BODY + LARGE + b"\r\n" + BODY + LAST)
        assert split(read_all(connection)) == [DIGEST, DIGEST, sha256(b"last").digest()]
    assert filled


def test_a_connection_is_used_again_after_a_large_body(open_server, filled):
    _, connect = open_server(digest)
    with connect() as connection:
        for _ in range(3):
            connection.sendall(LARGE + b"\r\n")
            time.sleep(0.05)  # the head alone comes first
            connection.sendall(BODY)
            answer = b""
            while not answer.endswith(DIGEST):
                answer += connection.recv(2**16)
    assert len(filled) == 3


def test_a_large_body_is_asked_for_with_100_continue(open_server, filled):
    _, connect = open_server()
    with connect() as connection:
        connection.sendall(LARGE + b"Expect: 100-continue\r\nConnection: close\r\n\r\n")
        assert connection.recv(2**16) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert split(read_all(connection)) == [BODY]
    assert filled


def test_a_large_body_that_stops_is_given_up(open_server, filled):
    _, connect = open_server(idle=0.3)
    with connect() as connection:
        connection.sendall(LARGE + b"\r\n" + BODY[:-1])
        head, _, body = read_all(connection).partition(b"\r\n\r\n")
    assert head.split()[1] == b"408"
    assert json.loads(body)["type"] == "TooSlow"
    assert filled


def test_nothing_that_follows_a_body_that_was_given_up_is_a_request(open_server, filled):
    _, connect = open_server(idle=0.3)
    with connect() as connection:
        connection.sendall(LARGE + b"\r\n" + BODY[:-1])
        answer = connection.recv(2**16)
        connection.sendall(b"x" + LAST)
        assert (answer + read_all(connection)).count(b"HTTP/1.1") == 1
    assert filled


def test_a_large_body_that_is_cut_off_reaches_no_model(open_server, filled):
    seen = []
    served, connect = open_server(seen.extend)
    with connect() as connection:
        connection.sendall(LARGE + b"\r\n" + BODY[:-1])
        end = time.monotonic() + 10
        while not filled and time.monotonic() < end:
            time.sleep(0.02)
    while served.connections and time.monotonic() < end:
        time.sleep(0.02)
    assert filled
    assert not served.connections
    assert seen == []


def test_who_goes_away_after_a_large_body_is_noticed(open_server, filled):
    served, connect = open_server(lambda requests: time.sleep(0.5) or digest(requests))
    with connect() as connection:
        connection.sendall(LARGE + b"\r\n" + BODY)
    end = time.monotonic() + 10
    while served.connections and time.monotonic() < end:
        time.sleep(0.02)
    assert not served.connections
    assert filled
