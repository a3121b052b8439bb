"""Servers and networks that break in every way: a typed error, never a partial result."""

from __future__ import annotations

import gzip
import socket

import numpy as np
import pytest

import eisen_deploy.client as public
from eisen_deploy.client import (
    ConnectionFailed,
    EisenClientError,
    MalformedReply,
    ReplyTooLarge,
    RequestTooLarge,
    ServerBusy,
    UnexpectedReply,
    UnknownOutcome,
)

Y = np.arange(5, dtype=np.float32)


def test_a_reply_with_one_byte_changed_is_right_or_refused(serve, connect, http):
    """In its HTTP and JSON parts: the tensors themselves carry no check sum."""
    answer = http.oip({"y": Y})
    server = serve(http.always(answer))
    client = connect(server, timeout=0.3)
    generator = np.random.default_rng(0)
    for index in range(0, len(answer) - Y.nbytes, 3):
        changed = bytearray(answer)
        changed[index] = generator.integers(256)
        server.script = http.once(bytes(changed))
        try:
            client.predict({"x": 1})
        except EisenClientError:
            continue


@pytest.mark.parametrize(
    ("name", "answer", "expected"),
    [
        ("nothing", b"", UnknownOutcome),
        ("garbage", b"\x00\xff\x16\x03" * 20 + b"\r\n\r\n", MalformedReply),
        ("http 0.9", b"<html>hello</html>", MalformedReply),
        ("tls", b"\x16\x03\x01\x00\x05hello\n", MalformedReply),
        ("status of letters", b"HTTP/1.1 abc\r\n\r\n", MalformedReply),
        ("status 99", b"HTTP/1.1 99\r\n\r\n", MalformedReply),
        ("endless line", b"HTTP/1.1 200 " + b"x" * 70_000, MalformedReply),
        ("a header of a megabyte", b"HTTP/1.1 200\r\nX: " + b"x" * 2**20, MalformedReply),
        ("thousands of headers", b"HTTP/1.1 200\r\n" + b"X: y\r\n" * 5000, MalformedReply),
        ("early hints", b"HTTP/1.1 103 \r\n\r\n", UnknownOutcome),
        ("switching", b"HTTP/1.1 101 \r\nUpgrade: x\r\n\r\n", UnexpectedReply),
        ("chunk of no size", b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", None),
        ("chunk cut off", b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nab", None),
        ("empty", b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", MalformedReply),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_an_answer(name, answer, expected, fails, http):
    error = fails(http.once(answer))
    assert type(error) in ((expected,) if expected else (UnknownOutcome, MalformedReply))
    assert "xxx" not in str(error)
    assert "hello" not in str(error)


def test_a_reply_over_the_limit_is_refused(serve, connect, http):
    value = np.zeros(1000, np.uint8)
    answer = http.oip({"y": value})
    size = len(answer.partition(b"\r\n\r\n")[2])
    head = b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = head + b"%x\r\n%b\r\n0\r\n\r\n" % (size, answer[-size:])
    for refused in (answer, chunks):
        with pytest.raises(ReplyTooLarge, match="max_reply"):
            connect(serve(http.always(refused)), max_reply=size - 1).predict({"x": 1})
    assert connect(serve(http.always(answer)), max_reply=size).predict({"x": 1})["y"].size == 1000


def test_a_reply_that_this_machine_cannot_hold_is_refused(fails, http):
    answer = http.reply(200, {"Content-Length": str(10**17)})
    error = fails(http.once(answer), max_reply=10**18)
    assert type(error) is ReplyTooLarge
    assert "memory" in str(error)


@pytest.mark.parametrize("encoding", ["deflate", "br", "gzip, gzip", "unknown"])
def test_a_reply_in_another_compression_is_refused_and_not_unpacked(encoding, fails, http):
    body = gzip.compress(bytes(10**7))
    error = fails(http.once(http.reply(200, {"Content-Encoding": encoding}, body)))
    assert type(error) is MalformedReply
    assert "compressed" in str(error)


def test_a_reply_that_names_its_identity_is_read(serve, connect, http):
    answer = http.oip({"y": 1}, {"Content-Encoding": "Identity"})
    assert connect(serve(http.always(answer))).predict({"x": 1}) == {"y": 1}


@pytest.mark.parametrize("method", ["predict", "get_metadata"])
def test_a_page_of_a_proxy_is_named_as_one(method, fails, http):
    page = http.reply(200, {"Content-Type": "text/HTML; charset=utf-8"}, b"<html>canary</html>")
    error = fails(http.once(page), method)
    assert type(error) is UnexpectedReply
    assert "HTML page" in str(error)
    assert "canary" not in str(error)


def test_a_missing_length_of_the_json_part_is_explained(fails, http):
    body = http.oip({"y": Y}).partition(b"\r\n\r\n")[2]
    error = fails(http.once(http.reply(200, {"Content-Type": "application/octet-stream"}, body)))
    assert type(error) is MalformedReply
    assert "header Inference-Header-Content-Length is missing" in str(error)
    assert error.status == 200


# --- before and while sending -------------------------------------------------------------


def test_a_server_that_does_not_run(connect):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionFailed, match="refused") as caught:
        connect(f"http://127.0.0.1:{port}/predictions/seg?canary").predict({"x": 1})
    assert caught.value.retry
    assert "canary" not in str(caught.value)
    assert type(caught.value) is ConnectionFailed


def test_a_host_name_that_does_not_exist(connect):
    with pytest.raises(ConnectionFailed, match="no connection") as caught:
        connect("http://no-such-host.invalid/predictions/seg").predict({"x": 1})
    assert type(caught.value) is ConnectionFailed


@pytest.mark.parametrize("how", ["end", "reset"])
def test_a_large_request_cut_off_is_too_large(how, serve, connect):
    def script(peer):
        peer.receive_head()
        peer.sock.recv(100_000)
        if how == "reset":
            peer.reset()

    with pytest.raises(RequestTooLarge, match="max_request_size") as caught:
        connect(serve(script)).predict({"x": np.zeros(32 * 2**20, np.uint8)})
    assert caught.value.request_size > 32 * 2**20
    assert str(caught.value.request_size) in str(caught.value)
    assert not caught.value.retry


def test_a_refusal_while_sending_is_still_read(serve, connect, http):
    """TorchServe answers 413 as soon as it has seen the headers, and closes."""

    def script(peer):
        _, headers = peer.receive_head()
        peer.send(http.reply(413, {"Connection": "close"}))
        peer.discard_body(int(headers["content-length"]))

    with pytest.raises(RequestTooLarge) as caught:
        connect(serve(script)).predict({"x": np.zeros(8 * 2**20, np.uint8)})
    assert caught.value.status == 413


def test_a_413_whose_page_is_cut_off_is_too_large(fails, http):
    error = fails(http.once(http.reply(413, {"Content-Length": "500"}, b"<html>")))
    assert type(error) is RequestTooLarge
    assert error.status == 413


def test_a_loss_after_sending_is_an_unknown_outcome(fails):
    def script(peer):
        peer.receive()
        peer.reset()

    error = fails(script)
    assert type(error) is UnknownOutcome
    assert "may have been executed" in str(error)
    assert not error.retry


def test_an_error_holds_no_text_of_the_lower_libraries(fails, http):
    error = fails(http.once(b"HTTP/1.1 canary\r\n\r\n"))
    assert "canary" not in str(error)
    assert error.__cause__ is None
    assert error.__suppress_context__


def test_a_full_server_is_busy(fails, http):
    error = fails(http.once(http.error(503, "ServiceUnavailableException", "no workers")))
    assert type(error) is ServerBusy
    assert error.retry
    assert isinstance(error, public.ServerFailed)
