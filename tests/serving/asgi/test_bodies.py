"""Bodies: whole or refused, and bounded before memory is taken for them."""

from __future__ import annotations

import contextlib
import json
import time

import pytest

HEAD = b"POST /predictions/seg HTTP/1.1\r\nHost: h\r\n"


def read_all(connection):
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    return answer


def error_in(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["type"]


@pytest.mark.parametrize("size", [1, 100, 65536, 65537, 3_000_001])
def test_a_body_arrives_as_it_was_sent(serve, size):
    body = bytes(range(256)) * (size // 256 + 1)
    assert serve().ask(body=body[:size])[2] == body[:size]


def test_a_body_in_chunks_arrives_as_it_was_sent(serve):
    pieces = [bytes([number]) * (number * 1000 + 1) for number in range(40)]
    assert serve().ask(body=iter(pieces))[2] == b"".join(pieces)


def test_a_body_that_is_too_large_is_refused_unread(serve):
    with serve(max_body=1000).connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 99999999999\r\n\r\n")
        started = time.monotonic()
        answer = b""
        while b"}" not in answer:
            answer += connection.recv(65536)
        assert time.monotonic() - started < 5
        assert error_in(answer) == (413, "RequestTooLarge")
        assert b"--max-body" in answer


def test_who_sends_all_of_a_body_that_is_too_large_gets_the_answer(serve):
    status, _, error = serve(max_body=1000).ask(body=b"x" * 3_000_000)
    assert (status, error["type"]) == (413, "RequestTooLarge")


def test_chunks_that_add_up_to_too_much_are_refused(serve):
    status, _, error = serve(max_body=1000).ask(body=iter([b"x" * 600] * 3))
    assert (status, error["type"]) == (413, "RequestTooLarge")


def test_100_continue_is_sent_only_for_what_will_be_read(serve):
    served = serve(max_body=1000)
    for size, expected in ((5, b"100 Continue"), (5000, b"413 ")):
        with served.connect() as connection:
            head = f"Content-Length: {size}\r\nExpect: 100-continue\r\n\r\n".encode()
            connection.sendall(HEAD + head)
            assert expected in connection.recv(65536)


def test_a_body_that_stops_is_given_up(serve):
    with serve(idle=0.3).connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 10\r\n\r\nabc")
        assert error_in(read_all(connection)) == (408, "TooSlow")


def test_a_body_that_drips_is_given_up_however_often_something_arrives(serve):
    with serve(idle=0.5, slowest=1000).connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 10000\r\n\r\n")
        connection.settimeout(0.1)
        answer, end = b"", time.monotonic() + 20
        while b"}" not in answer and time.monotonic() < end:
            connection.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                answer += connection.recv(65536)
        assert error_in(answer) == (408, "TooSlow")


def test_a_body_that_is_slow_but_not_too_slow_is_read(serve):
    with serve(idle=0.5, slowest=5).connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 15\r\nConnection: close\r\n\r\n")
        for byte in b"fifteen letters":
            time.sleep(0.08)
            connection.sendall(bytes([byte]))
        assert read_all(connection).endswith(b"fifteen letters")


def test_a_body_that_is_cut_off_reaches_no_model(serve):
    seen = []

    def answer(requests):
        seen.append(requests)
        raise AssertionError

    served = serve(answer)
    with served.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 10\r\n\r\nabc")
    time.sleep(0.3)
    assert seen == []


def test_a_pipelined_request_gets_its_own_answer(serve):
    with serve().connect() as connection:
        one = HEAD + b"Content-Length: 3\r\n\r\none"
        two = HEAD + b"Content-Length: 3\r\nConnection: close\r\n\r\ntwo"
        connection.sendall(one + two)
        answer = read_all(connection)
    assert [part[-3:] for part in answer.split(b"HTTP/1.1 200")[1:]] == [b"one", b"two"]


def test_headers_that_contradict_each_other_reach_no_model(serve):
    with serve().connect() as connection:
        connection.sendall(
            HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP"
        )
        assert connection.recv(65536).split()[1] == b"400"


def test_a_head_without_an_end_is_given_up(serve, monkeypatch):
    monkeypatch.setattr("eisen_deploy.serving.engines.uvicorn.protocol.HEAD_SECONDS", 0.3)
    served = serve()
    for sent in (b"", b"POST /pre", HEAD):
        with served.connect() as connection:
            connection.sendall(sent)
            started = time.monotonic()
            assert connection.recv(100) == b""
            assert time.monotonic() - started < 5


def test_a_head_that_is_too_large_is_given_up(serve):
    with serve().connect() as connection:
        more = HEAD + b"".join(b"X-More: " + b"x" * 1000 + b"\r\n" for _ in range(10_000))
        with pytest.raises(OSError, match=r"reset|pipe"):
            connection.sendall(more)


def test_a_large_body_after_a_slow_head_is_read_for_as_long_as_it_takes(serve, monkeypatch):
    monkeypatch.setattr("eisen_deploy.serving.engines.uvicorn.protocol.HEAD_SECONDS", 0.3)
    with serve().connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 5\r\nConnection: close\r\n\r\n")
        for byte in b"hello":
            time.sleep(0.15)
            connection.sendall(bytes([byte]))
        assert read_all(connection).endswith(b"hello")
