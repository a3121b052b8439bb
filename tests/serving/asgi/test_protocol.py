"""What is around a request on its connection is no part of it, and holds no memory for ever."""

from __future__ import annotations

import json
import time

import pytest

from eisen_deploy.serving.engines.uvicorn import protocol
from eisen_deploy.serving.runtime.messages import Reply

HEAD = b"POST /predictions/seg HTTP/1.1\r\nHost: h\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\nx\r\n0\r\n"
PING = b"GET /ping HTTP/1.1\r\nHost: h\r\n\r\n"


def exchange(served, sent):
    """Return all that is answered until the connection is closed."""
    with served.connect() as connection:
        connection.sendall(sent)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


def flood(connection, filler):
    for _ in range(10**5):
        connection.sendall(filler)


def wait_until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


@pytest.mark.parametrize("name", ["Content-Type", "Inference-Header-Content-Length", "X-Other"])
def test_trailers_are_no_headers(serve, name):
    seen = []

    def note(requests):
        seen.extend(requests)
        return [Reply((b"",)) for _ in requests]

    answer = exchange(serve(note), CHUNKED + name.encode("ascii") + b": 5\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert name.lower() not in seen[0].headers


def test_a_token_in_a_trailer_is_none(serve, tmp_path):
    (tmp_path / "token").write_text("secret")
    served = serve(token_file=tmp_path / "token")
    answer = exchange(served, CHUNKED + b"Authorization: Bearer secret\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize("filler", [b"X: " + b"a" * 4000 + b"\r\n", b"X: a\r\n", b"a" * 4000])
def test_trailers_without_an_end_are_cut_off(serve, filler):
    with serve().connect() as connection:
        connection.sendall(CHUNKED)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            flood(connection, filler)


@pytest.mark.parametrize("body", [b"Content-Length: 1\r\n\r\nx", CHUNKED.partition(b"h\r\n")[2]])
def test_a_body_with_an_upgrade_is_refused_and_not_lost(serve, body):
    answer = exchange(serve(), HEAD + b"Upgrade: h2c\r\nConnection: upgrade\r\n" + body)
    assert answer.startswith(b"HTTP/1.1 400")


def test_a_connection_ends_with_a_request_for_an_upgrade(serve):
    upgrade = PING[:-2] + b"Upgrade: h2c\r\nConnection: upgrade\r\n\r\n"
    answer = exchange(serve(), upgrade + PING)
    assert answer.count(b"HTTP/1.1 200") == 1


@pytest.mark.parametrize("coding", ["gzip, chunked", "chunked, chunked"])
def test_a_transfer_coding_that_is_not_undone_is_refused(serve, coding):
    answer = exchange(serve(), CHUNKED.replace(b"chunked", coding.encode("ascii")))
    assert answer.startswith(b"HTTP/1.1 400")


def test_what_is_not_http_gets_a_typed_error(serve):
    head, _, body = exchange(serve(), b"GARBAGE\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert json.loads(body)["type"] == "MalformedBody"


def test_an_error_never_goes_into_the_answer_to_another_request(serve):
    size = 50 * 2**20
    served = serve(lambda requests: [Reply((bytes(size),)) for _ in requests])
    with served.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 1\r\n\r\nx")
        assert connection.recv(12) == b"HTTP/1.1 200"
        time.sleep(0.3)  # the answer waits for its reader
        connection.sendall(b"GARBAGE\r\n\r\n")
        time.sleep(0.3)
        answer = b""
        while piece := connection.recv(2**20):
            answer += piece
    assert set(answer.partition(b"\r\n\r\n")[2]) == {0}
    assert len(answer) < size


def test_who_does_not_read_is_given_up(serve, monkeypatch):
    monkeypatch.setattr(protocol, "WRITE_SECONDS", 0.3)
    served = serve(lambda requests: [Reply((bytes(50 * 2**20),)) for _ in requests])
    with served.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 1\r\n\r\nx")
        wait_until(lambda: served.connections)
        wait_until(lambda: not served.connections)


def test_who_reads_slowly_is_not(serve, monkeypatch):
    monkeypatch.setattr(protocol, "WRITE_SECONDS", 0.5)
    size = 40 * 2**20
    served = serve(lambda requests: [Reply((bytes(size),)) for _ in requests])
    with served.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 1\r\nConnection: close\r\n\r\nx")
        got = 0
        while piece := connection.recv(2**20):
            got += len(piece)
            time.sleep(0.03)
    assert got > size
