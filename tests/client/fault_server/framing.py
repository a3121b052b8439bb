"""Answers that break the rules of HTTP: status lines, headers, lengths, chunks, codings."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator

from eisen_deploy.client import (
    InvalidInput,
    MalformedReply,
    ModelFailed,
    ProxyFailed,
    Redirected,
    ReplyTooLarge,
    ServerFailed,
    Unauthorized,
    UnexpectedReply,
    UnknownOutcome,
)

from .cases import (
    BINARY,
    BODY,
    GOOD,
    HEAD,
    Case,
    Expected,
    chunk,
    error,
    keeps,
    raw,
    reply,
    sends,
)

LENGTH = str(len(BODY))
_HEADERS = HEAD.partition(b"\r\n")[2]
_PRIVATE = "http://user:canary@model.invalid/"


def cases() -> Iterator[Case]:
    """Return every case of this module."""
    yield from _once("not an answer", NOT_ANSWERS)
    yield from _once(
        "status line",
        {
            repr(line): (line + b"\r\n" + _HEADERS + BODY, expected)
            for line, expected in STATUS_LINES.items()
        },
    )
    yield from _once("head", HEADS)
    yield from _once("interim", INTERIM)
    yield from _lengths()
    yield from _chunks()
    yield from _codings()
    yield from _redirects()
    yield from _challenges()


def _once(family: str, table: dict[str, tuple[bytes, Expected | None]]) -> Iterator[Case]:
    for name, (answer, expected) in table.items():
        yield Case(f"{family}: {name}", sends(answer), expected)


NOT_ANSWERS: dict[str, tuple[bytes, Expected | None]] = {
    "nothing": (b"", UnknownOutcome),
    "an empty line": (b"\r\n", MalformedReply),
    "many empty lines": (b"\r\n" * 1000, MalformedReply),
    "spaces": (b" " * 100 + b"\r\n\r\n", MalformedReply),
    "an empty line first": (b"\r\n" + GOOD, MalformedReply),
    "bytes": (bytes(range(256)) * 4 + b"\r\n\r\n", MalformedReply),
    "zeros": (bytes(1000), MalformedReply),
    "a page without a head": (b"<html>hello</html>", MalformedReply),
    "only a body": (BODY, MalformedReply),
    "TLS": (b"\x15\x03\x01\x00\x02\x02\x46", MalformedReply),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", MalformedReply),
    "SMTP": (b"220 mail.invalid ESMTP\r\n", MalformedReply),
    "HTTP/2": (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18), MalformedReply),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", MalformedReply),
    "gRPC": (b"\x00\x00\x00\x00\x05hello", MalformedReply),
    "a request": (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", MalformedReply),
    "one endless line": (b"x" * 2**20, MalformedReply),
    "an endless status line": (b"HTTP/1.1 200 " + b"x" * 2**20, MalformedReply),
}

STATUS_LINES: dict[bytes, Expected | None] = {
    b"HTTP/1.1 200 OK": None,
    b"HTTP/1.1 200": None,
    b"HTTP/1.0 200 OK": None,
    b"HTTP/1.7 200 OK": None,
    b"HTTP/1.1 200 " + b"\xff" * 100: None,
    b"HTTP/1.1 200 " + b"x" * 60000: None,
    b"HTTP/1.1\t200\tOK": None,
    b"HTTP/0.9 200 OK": None,  # Python reads it as HTTP/1.0
    b"HTTP/2 200": MalformedReply,
    b"HTTP/2.0 200 OK": MalformedReply,
    b"HTTP/3 200 OK": MalformedReply,
    b"HTTP/ 200 OK": MalformedReply,
    b"HTTP 200 OK": MalformedReply,
    b"http/1.1 200 OK": MalformedReply,
    b"ICY 200 OK": MalformedReply,
    b"RTSP/1.0 200 OK": MalformedReply,
    b"HTTP/1.1200 OK": MalformedReply,
    b"HTTP/1.1": MalformedReply,
    b"HTTP/1.1 ": MalformedReply,
    b"HTTP/1.1 OK 200": MalformedReply,
    b"HTTP/1.1 20": MalformedReply,
    b"HTTP/1.1 099 low": MalformedReply,
    b"HTTP/1.1 -200 OK": MalformedReply,
    b"HTTP/1.1 2000 OK": MalformedReply,
    b"HTTP/1.1 200OK": MalformedReply,
    b"HTTP/1.1 2O0 OK": MalformedReply,
    b"HTTP/1.1 0xc8 OK": MalformedReply,
    b"HTTP/1.1 200.0 OK": MalformedReply,
    b"HTTP/1.1 2\x0000 OK": MalformedReply,
    b"HTTP/1.1 " + b"9" * 5000: MalformedReply,
    b"200 OK": MalformedReply,
    b"\xef\xbb\xbfHTTP/1.1 200 OK": MalformedReply,
    b" HTTP/1.1 200 OK": None,  # Python's reader splits at any white space
    # statuses without a body, and those that nobody has heard of
    b"HTTP/1.1 101 Switching Protocols": UnexpectedReply,
    b"HTTP/1.1 102 Processing": MalformedReply,  # what follows is no status line
    b"HTTP/1.1 103 Early Hints": MalformedReply,
    b"HTTP/1.1 199 x": MalformedReply,
    b"HTTP/1.1 201 Created": UnexpectedReply,
    b"HTTP/1.1 202 Accepted": UnexpectedReply,
    b"HTTP/1.1 203 Transformed": UnexpectedReply,
    b"HTTP/1.1 204 No Content": UnexpectedReply,
    b"HTTP/1.1 205 Reset Content": UnexpectedReply,
    b"HTTP/1.1 206 Partial Content": UnexpectedReply,
    b"HTTP/1.1 207 Multi-Status": UnexpectedReply,
    b"HTTP/1.1 226 IM Used": UnexpectedReply,
    b"HTTP/1.1 299 x": UnexpectedReply,
    b"HTTP/1.1 304 Not Modified": Redirected,
    b"HTTP/1.1 600 x": UnexpectedReply,
    b"HTTP/1.1 999 x": UnexpectedReply,
}


def _head(*lines: bytes) -> bytes:
    """Return the good reply with further lines before its headers."""
    return b"HTTP/1.1 200 OK\r\n" + b"".join(line + b"\r\n" for line in lines) + _HEADERS + BODY


HEADS: dict[str, tuple[bytes, Expected | None]] = {
    "line feeds alone": (HEAD.replace(b"\r\n", b"\n") + BODY, None),
    "names in capitals": (HEAD.replace(b"Content-Length", b"CONTENT-LENGTH") + BODY, None),
    "a long value": (_head(b"X: " + b"x" * 60000), None),
    "many": (_head(*[b"X: y"] * 90), None),
    "folded": (_head(b"X: y", b" folded", b"\tfolded"), None),
    "an empty value": (_head(b"X:"), None),
    "bytes in a value": (_head(b"X: \xff\xfe\x80"), None),
    "NUL in a value": (_head(b"X: a\x00b"), None),
    "a range": (_head(b"Content-Range: bytes 0-9/99"), None),
    "a cookie": (_head(b"Set-Cookie: a=b; Domain=127.0.0.1"), None),
    "a carriage return in a value": (_head(b"X: a\rb"), MalformedReply),  # it ends the line
    "no colon": (_head(b"no colon here"), MalformedReply),
    "no name": (_head(b": value"), None),
    "a fold first": (_head(b" folded"), None),
    "a space in a name": (_head(b"X Y: z"), MalformedReply),
    "a space before the colon": (
        HEAD.replace(b"Content-Length:", b"Content-Length :") + BODY,
        MalformedReply,
    ),
    "NUL in a name": (_head(b"X\x00: y"), MalformedReply),
    "too many": (_head(*[b"X: y"] * 101), MalformedReply),
    "thousands": (_head(*[b"X: y"] * 5000), MalformedReply),
    "a hundred thousand": (_head(*[b"X: y"] * 100_000), MalformedReply),
    "a value of 64 KiB": (_head(b"X: " + b"x" * 65536), MalformedReply),
    "a value of a megabyte": (_head(b"X: " + b"x" * 2**20), MalformedReply),
    "a name of a megabyte": (_head(b"x" * 2**20 + b": y"), MalformedReply),
    "a fold of a megabyte": (_head(b"X: y", b" " + b"x" * 2**20), MalformedReply),
    "none": (b"HTTP/1.1 200 OK\r\n\r\n" + BODY, MalformedReply),
    "no end": (HEAD[:-2] + BODY, UnknownOutcome),
}

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_PROCESSING = b"HTTP/1.1 102 x\r\n\r\n"
_HINTS = b"HTTP/1.1 103 x\r\nLink: </x>; rel=preload\r\nLink: </y>\r\n\r\n"
INTERIM: dict[str, tuple[bytes, Expected | None]] = {
    "100": (_CONTINUE + GOOD, None),
    "100 with headers": (b"HTTP/1.1 100 x\r\nContent-Length: 99\r\nX: y\r\n\r\n" + GOOD, None),
    "a thousand times 100": (_CONTINUE * 1000 + GOOD, None),
    "100 and no more": (_CONTINUE, UnknownOutcome),
    "a thousand times 100 and no more": (_CONTINUE * 1000, UnknownOutcome),
    "100 of HTTP/1.0": (b"HTTP/1.0 100 x\r\n\r\n" + GOOD, None),
    "100 and too many headers": (
        b"HTTP/1.1 100 x\r\n" + b"X: y\r\n" * 1000 + b"\r\n" + GOOD,
        MalformedReply,
    ),
    "100 and an endless header": (
        b"HTTP/1.1 100 x\r\nX: " + b"x" * 2**20 + b"\r\n\r\n" + GOOD,
        MalformedReply,
    ),
    "100 and garbage": (_CONTINUE + b"garbage\r\n\r\n", MalformedReply),
    "100 and an error": (_CONTINUE + error(422, "InvalidInput"), InvalidInput),
    "102": (_PROCESSING + GOOD, None),
    "102 of HTTP/1.0, without a reason": (b"HTTP/1.0 102\r\n\r\n" + GOOD, None),
    "103": (_HINTS + GOOD, None),
    "103 with line feeds alone": (_HINTS.replace(b"\r\n", b"\n") + GOOD, None),
    "103 with a length": (b"HTTP/1.1 103 x\r\nContent-Length: 9\r\n\r\n" + GOOD, None),
    "103 with 90 headers": (b"HTTP/1.1 103 x\r\n" + b"X: y\r\n" * 90 + b"\r\n" + GOOD, None),
    "103 that closes": (b"HTTP/1.1 103 x\r\nConnection: close\r\n\r\n" + GOOD, None),
    "104 and 199": (b"HTTP/1.1 104 x\r\n\r\nHTTP/1.1 199 x\r\nX: y\r\n\r\n" + GOOD, None),
    "100, 102 and 103": (_CONTINUE + _PROCESSING + _HINTS + _HINTS + GOOD, None),
    "a thousand times 103": (_HINTS * 1000 + GOOD, None),
    "103 and no more": (_HINTS, UnknownOutcome),
    "103 cut off": (_HINTS[:-5], UnknownOutcome),
    "103 and an error": (_HINTS + error(422, "InvalidInput"), InvalidInput),
    "103 and a redirect": (_HINTS + reply(307, {"Location": "/"}), Redirected),
    "103 and garbage": (_HINTS + b"garbage\r\n\r\n", MalformedReply),
    "103 and a body": (b"HTTP/1.1 103 x\r\nContent-Length: 5\r\n\r\nhello" + GOOD, MalformedReply),
    "103 and too many headers": (
        b"HTTP/1.1 103 x\r\n" + b"X: y\r\n" * 1000 + b"\r\n" + GOOD,
        MalformedReply,
    ),
    "103 and an endless header": (
        b"HTTP/1.1 103 x\r\nX: " + b"x" * 2**20 + b"\r\n\r\n" + GOOD,
        MalformedReply,
    ),
    "103 and 101": (_HINTS + b"HTTP/1.1 101 x\r\n\r\n" + GOOD, UnexpectedReply),
    "101 and the reply": (b"HTTP/1.1 101 x\r\n\r\n" + GOOD, UnexpectedReply),
    "101 and bytes": (b"HTTP/1.1 101 x\r\nUpgrade: h2c\r\n\r\n" + bytes(99), UnexpectedReply),
}

LENGTHS: dict[str, Expected | None] = {
    LENGTH: None,
    f"00{LENGTH}": None,
    f"{LENGTH} \t": None,
    "": MalformedReply,
    "-1": MalformedReply,
    f"-{LENGTH}": MalformedReply,
    f"+{LENGTH}": MalformedReply,
    "abc": MalformedReply,
    "1e3": MalformedReply,
    "0x10": MalformedReply,
    f"{LENGTH}.0": MalformedReply,
    f"{LENGTH},{LENGTH}": MalformedReply,
    f"{LENGTH};x": MalformedReply,
    f"{LENGTH[0]}_{LENGTH[1:]}": MalformedReply,
    f"{LENGTH} {LENGTH}": MalformedReply,
    "\xb2": MalformedReply,
    "9" * 19: MalformedReply,
    "9" * 400: MalformedReply,
    "9" * 5000: MalformedReply,
    "9" * 18: ReplyTooLarge,
    str(2**32 + 1): ReplyTooLarge,
    str(2**31): UnknownOutcome,
    str(len(BODY) + 1): UnknownOutcome,
    str(len(BODY) * 2): UnknownOutcome,
    str(len(BODY) - 1): MalformedReply,
    "1": MalformedReply,
    "0": MalformedReply,
}


def _lengths() -> Iterator[Case]:
    for text, expected in LENGTHS.items():
        answer = raw({**BINARY, "Content-Length": text}, BODY)
        name = text if len(text) < 50 else f"{len(text)} digits"
        yield Case(f"length {name!r}", sends(answer), expected)
        if expected not in (None, UnknownOutcome):
            yield Case(f"length {name!r} of metadata", sends(answer), expected, batch=None)
    # The status says it; a page that comes with it need not be readable.
    for text, expected in (("9" * 18, ModelFailed), ("-1", MalformedReply), ("x", MalformedReply)):
        answer = raw(
            {"Content-Type": "application/json", "Content-Length": text},
            error(500, "ModelFailed").partition(b"\r\n\r\n")[2],
            500,
        )
        wanted = ServerFailed if expected is ModelFailed else expected
        yield Case(f"length {text[:9]!r} of an error", sends(answer), wanted)
    twice = [("Content-Length", LENGTH), ("Content-Length", LENGTH), *BINARY.items()]
    yield Case("length twice", sends(raw(twice, BODY)), MalformedReply)
    for size in (1, 7, 63, 64, 65, len(BODY) - 1, len(BODY)):
        answer = raw({**BINARY, "Content-Length": LENGTH}, BODY[: len(BODY) - size])
        yield Case(f"length {size} more than came", sends(answer), UnknownOutcome)
        answer = raw({**BINARY, "Content-Length": str(len(BODY) - size)}, BODY)
        yield Case(f"length {size} less than came", sends(answer), MalformedReply)


#: What is wrong about the body after ``Transfer-Encoding: chunked``.
_SIZE = b"%x" % len(BODY)
CHUNKS: dict[str, tuple[bytes, Expected | None]] = {
    "right": (chunk(BODY), None),
    "one by one": (chunk(BODY, 1), None),
    "one": (chunk(BODY, 1000), None),
    "capital digits": (chunk(BODY, 171).replace(b"ab\r\n", b"AB\r\n", 1), None),
    "leading zeros": (b"0000000" + chunk(BODY, 1000), None),
    "an extension": (_SIZE + b';a=b; c="d"\r\n' + BODY + b"\r\n0;e\r\n\r\n", None),
    "a long extension": (_SIZE + b";" + b"x" * 60000 + b"\r\n" + BODY + b"\r\n0\r\n\r\n", None),
    "trailers": (chunk(BODY)[:-2] + b"X: y\r\nContent-Length: 5\r\n\r\n", None),
    "trailers of garbage": (chunk(BODY)[:-2] + b"\x00\xff\r\n\r\n", None),
    "no last line": (chunk(BODY)[:-2], None),
    "garbage after the end": (chunk(BODY) + b"garbage", None),
    "an endless extension": (_SIZE + b";" + b"x" * 2**20 + b"\r\n", MalformedReply),
    "an endless size": (b"1" * 2**20, MalformedReply),
    "an endless trailer": (chunk(BODY)[:-2] + b"X: " + b"x" * 2**20, MalformedReply),
    "none": (b"", UnknownOutcome),
    "no size": (b"\r\n" + BODY + b"\r\n0\r\n\r\n", UnknownOutcome),
    "a size of letters": (b"zz\r\n" + BODY + b"\r\n0\r\n\r\n", UnknownOutcome),
    "a size of bytes": (b"\xff\xfe\r\n" + BODY, UnknownOutcome),
    "a size and a space": (b"1 0\r\n" + BODY, UnknownOutcome),
    "a size with a point": (b"1.0\r\n" + BODY, UnknownOutcome),
    "a size with a comma": (_SIZE + b",5\r\n" + BODY, UnknownOutcome),
    "a huge size": (b"f" * 15 + b"\r\n" + BODY, UnknownOutcome),
    "a size of 5000 digits": (b"f" * 5000 + b"\r\n" + BODY, UnknownOutcome),
    "a size of 2 GiB": (b"80000000\r\n" + BODY, UnknownOutcome),
    "too long": (b"%x\r\n" % (len(BODY) + 1) + BODY + b"\r\n0\r\n\r\n", UnknownOutcome),
    "too short": (b"%x\r\n" % (len(BODY) - 9) + BODY + b"\r\n0\r\n\r\n", UnknownOutcome),
    "no line after the data": (_SIZE + b"\r\n" + BODY + b"0\r\n\r\n", UnknownOutcome),
    "no end": (chunk(BODY)[:-5], UnknownOutcome),
    "not chunked": (BODY, UnknownOutcome),
    "a page": (b"<html>\r\n", UnknownOutcome),
    "nothing": (b"0\r\n\r\n", MalformedReply),
    "an early end": (b"5\r\n" + BODY[:5] + b"\r\n0\r\n\r\n" + BODY[5:], MalformedReply),
    "half": (chunk(BODY[: len(BODY) // 2]), MalformedReply),
    "one byte more": (chunk(BODY + b"x"), MalformedReply),
    "one byte less": (chunk(BODY[:-1]), MalformedReply),
    "the body twice": (chunk(BODY * 2), MalformedReply),
    "chunks in chunks": (chunk(chunk(BODY)), MalformedReply),
}
#: The header, and whether Python takes it for chunks.
TRANSFER_CODINGS = {
    "chunked": True,
    "CHUNKED": True,
    "gzip, chunked": False,
    "chunked, gzip": False,
    "chunked, chunked": False,
    "chunked;x=y": False,
    "xchunked": False,
    "identity": False,
    "gzip": False,
    "unknown": False,
    "": False,
}


def _chunks() -> Iterator[Case]:
    for name, (body, expected) in CHUNKS.items():
        answer = raw({**BINARY, "Transfer-Encoding": "chunked"}, body)
        yield Case(f"chunks: {name}", sends(answer), expected)
    for sign in (b"+", b"0x", b" "):  # Python reads these as numbers
        answer = raw({**BINARY, "Transfer-Encoding": "chunked"}, sign + chunk(BODY, 1000))
        yield Case(f"chunks: a size with {sign!r}", sends(answer), None)
    for size in (b"-1", b"-5", b"-0005", b"-ffffffff"):
        answer = raw(
            {**BINARY, "Transfer-Encoding": "chunked"}, size + b"\r\n" + BODY + b"\r\n0\r\n\r\n"
        )
        yield Case(f"chunks: size {size!r}", sends(answer), MalformedReply)
    for coding, is_chunked in TRANSFER_CODINGS.items():
        answer = raw({**BINARY, "Transfer-Encoding": coding}, chunk(BODY))
        expected = None if is_chunked else MalformedReply
        yield Case(f"transfer coding {coding!r}", sends(answer), expected)
    for length in (LENGTH, "5", "0", str(10**6), "-1", "x"):
        headers = {**BINARY, "Transfer-Encoding": "chunked", "Content-Length": length}
        yield Case(f"chunks and length {length}", sends(raw(headers, chunk(BODY))), None)
        answer = raw(headers, BODY)
        yield Case(f"chunks and length {length}, not chunked", sends(answer), UnknownOutcome)
    twice = [("Transfer-Encoding", "chunked")] * 2
    answer = raw([*twice, *BINARY.items()], chunk(BODY))
    yield Case("transfer coding twice", sends(answer), None)


CODINGS = ["gzip", "x-gzip", "GZIP", "deflate", "br", "zstd", "compress", "gzip, gzip",
           "gzip, identity", "identity, identity", "aws-chunked", "unknown", "\xff"]  # fmt: skip
#: What becomes of a body that is said to be gzip, where it is not a malformed reply.
GZIPPED = {"gzip": None, "nothing": UnknownOutcome}


def _codings() -> Iterator[Case]:
    packed = {
        "gzip": gzip.compress(BODY),
        "deflate": zlib.compress(BODY),
        "as it is": BODY,
        "nothing": b"",
        "a bomb": gzip.compress(bytes(10**6)),
    }
    for coding in CODINGS:
        is_gzip = coding.lower() in ("gzip", "x-gzip")
        for name, body in packed.items():
            expected = GZIPPED.get(name, MalformedReply) if is_gzip else MalformedReply
            answer = reply(200, {**BINARY, "Content-Encoding": coding}, body)
            yield Case(f"coding {coding!r} of {name}", sends(answer), expected)
        answer = error(500, "ModelFailed")
        answer = answer.replace(b"\r\n", f"\r\nContent-Encoding: {coding}\r\n".encode("latin-1"), 1)
        yield Case(f"coding {coding!r} of an error", sends(answer), ServerFailed)
        answer = reply(200, {"Content-Encoding": coding}, packed["gzip"])
        yield Case(f"coding {coding!r} of metadata", sends(answer), MalformedReply, batch=None)
    for name, body in packed.items():
        if name != "as it is":
            yield Case(f"{name}, not told", sends(reply(200, BINARY, body)), MalformedReply)
            answer = reply(200, {}, body)
            yield Case(f"{name} as metadata, not told", sends(answer), MalformedReply, batch=None)
    for coding in ("identity", "Identity", " identity ", ""):
        answer = reply(200, {**BINARY, "Content-Encoding": coding}, BODY)
        yield Case(f"coding {coding!r}", sends(answer), None)


LOCATIONS = [
    "/predictions/seg",
    "/other",
    "",
    "?x=y",
    "//other.invalid/",
    "http://127.0.0.1:9/",
    "https://127.0.0.1/",
    _PRIVATE,
    "ftp://other.invalid/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "http://[",
    "http://x:99999999/",
    "http://\xff/",
]


def _redirects() -> Iterator[Case]:
    for status in (300, 301, 302, 303, 305, 307, 308, 399):
        for where in LOCATIONS:
            page = reply(status, {"Location": where}, b"<html>elsewhere</html>")
            name = f"{status} to {where[:40]!r}"
            yield Case(name, sends(page), Redirected)
        yield Case(f"{status} to nowhere", sends(reply(status)), Redirected)
        endless = raw({"Location": "/", "Content-Length": str(10**15)}, b"x" * 1000, status)
        yield Case(f"{status} with an endless page", sends(endless), Redirected)
        page = reply(status, {"Location": "x" * 60000})
        yield Case(f"{status} to a long address", sends(page), Redirected)
        page = reply(status, {"Location": "/"})
        yield Case(f"{status} for metadata", sends(page), Redirected, batch=None)


CHALLENGES = ["Basic realm=x", "Digest realm=x, nonce=y", "Negotiate", "NTLM", "Bearer", "", "\xff"]


def _challenges() -> Iterator[Case]:
    for challenge in CHALLENGES:
        answer = reply(401, {"WWW-Authenticate": challenge}, b"<html>log in</html>")
        for token in (None, "key"):
            name = f"401 {challenge!r}, token {token}"
            yield Case(name, sends(answer), Unauthorized, client={"token": token})
        answer = reply(407, {"Proxy-Authenticate": challenge}, b"<html>log in</html>")
        yield Case(f"407 {challenge!r}", sends(answer), ProxyFailed)
    answer = reply(401, {"WWW-Authenticate": "Bearer"})
    # A function may return another token: it is asked once more.
    client = {"token": lambda: "key"}
    yield Case("401, token of a function", keeps(answer), Unauthorized, 2, -1, client=client)


def leaking() -> Iterator[Case]:
    """Return the cases in which urllib3 forgets a socket, for the collector to close."""
    for first, second in ((LENGTH, "5"), ("5", LENGTH), (LENGTH, "x"), ("0", LENGTH)):
        twice = [("Content-Length", first), ("Content-Length", second), *BINARY.items()]
        name = f"lengths {first} and {second}"
        yield Case(name, sends(raw(twice, BODY)), MalformedReply)
