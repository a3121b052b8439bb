"""Replies in chunks, and compressed ones, with and without their size announced."""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np
import pytest

from eisen_deploy.client import MalformedReply, ReplyTooLarge, UnknownOutcome


def _chunked(head: dict[str, str], body: bytes, size: int = 1000) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    pieces = (body[start : start + size] for start in range(0, len(body), size))
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    start = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{lines}\r\n".encode()
    return start + chunks + b"0\r\n\r\n"


def _parts(http: Any, array: Any) -> tuple[dict[str, str], bytes]:
    """Return headers, but for the length, and the body of a reply with one output ``y``."""
    head, _, body = http.oip({"y": array}).partition(b"\r\n\r\n")
    lines = [line.split(": ", 1) for line in head.decode().split("\r\n")[1:]]
    return {k: v for k, v in lines if k.lower() != "content-length"}, body


@pytest.mark.parametrize("told", [True, False], ids=["size told", "size not told"])
@pytest.mark.parametrize("coding", ["chunks", "gzip", "gzip in chunks"])
def test_a_reply_in_chunks_or_compressed_is_the_same_reply(coding, told, serve, connect, http):
    array = np.arange(300_000, dtype=np.float32) // 1000
    head, body = _parts(http, array)
    if told:
        head["Eisen-Body-Size"] = str(len(body))
    if "gzip" in coding:
        head["Content-Encoding"] = "gzip"
        body = gzip.compress(body)
    answer = _chunked(head, body) if "chunks" in coding else http.reply(200, head, body)
    result = connect(serve(http.always(answer))).predict({"x": 1})["y"]
    assert result.dtype == array.dtype
    assert np.array_equal(result, array)
    assert result.flags.writeable


@pytest.mark.parametrize(
    ("told", "expected"), [(-1, MalformedReply), (1, UnknownOutcome), (10**12, ReplyTooLarge)]
)
@pytest.mark.parametrize("coding", ["chunks", "gzip"])
def test_a_reply_of_another_size_than_announced_is_refused(told, expected, coding, fails, http):
    head, body = _parts(http, np.arange(1000))
    head["Eisen-Body-Size"] = str(len(body) + told)
    if coding == "gzip":
        packed = {**head, "Content-Encoding": "gzip"}
        answer = http.reply(200, packed, gzip.compress(body))
    else:
        answer = _chunked(head, body)
    assert type(fails(http.once(answer))) is expected


def test_a_compressed_reply_followed_by_something_is_refused(fails, http):
    head, body = _parts(http, np.arange(1000))
    head["Content-Encoding"] = "gzip"
    error = fails(http.once(http.reply(200, head, gzip.compress(body) + gzip.compress(b"more"))))
    assert type(error) is MalformedReply
    assert "follows" in str(error)
