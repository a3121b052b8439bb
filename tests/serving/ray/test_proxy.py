"""What a proxy of Ray answers itself becomes a typed error, and the bodies it takes are limited."""

from __future__ import annotations

import asyncio
import json

import pytest
from ray.serve._private.http_util import convert_object_to_asgi_messages

from eisen_deploy.serving.ray import middlewares


def wrap(app):
    """Put an application behind the middlewares."""
    for middleware in middlewares():
        app = middleware.cls(app, **middleware.kwargs)
    return app


async def exchange(app, path="/predictions/model", headers=(), pieces=()):
    """Return status, headers and body of what an application answers."""
    sent, left = [], list(pieces)

    async def send(message):
        sent.append(message)

    async def receive():
        if not left:
            return {"type": "http.disconnect"}
        piece = left.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(left)}

    await app({"type": "http", "path": path, "method": "POST", "headers": headers}, receive, send)
    start, *bodies = sent
    return start["status"], dict(start["headers"]), b"".join(each["body"] for each in bodies)


def answer(app, *arguments, **request):
    """Return what an application answers behind the middlewares."""
    return asyncio.run(exchange(wrap(app), *arguments, **request))


def say(text, status, headers=None):
    """Return an application that answers as Ray's proxy does, by its own function."""

    async def app(scope, receive, send):
        for message in convert_object_to_asgi_messages(text, status, headers):
            await send(message)

    return app


async def say_nothing(scope, receive, send):
    pass


async def fail(scope, receive, send):
    raise RuntimeError("a secret")


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        (say("Request dropped due to backpressure", 503), (503, "NotExecuted")),
        (say("dropped", 429, [(b"retry-after", b"1")]), (503, "NotExecuted")),
        (say("Request 1 timed out after 5s.", 408), (502, "ReplicaLost")),
        (say_nothing, (502, "ReplicaLost")),
        (fail, (502, "ReplicaLost")),
    ],
)
def test_what_the_proxy_says_is_typed(app, expected):
    status, headers, body = answer(app)
    error = json.loads(body)
    assert (status, error["type"]) == expected
    assert error["code"] == status
    assert headers[b"content-type"] == b"application/json"
    assert (b"retry-after" in headers) == (status == 503)
    assert b"secret" not in body


@pytest.mark.parametrize("status", [200, 404, 500])
def test_another_answer_of_the_proxy_stays(status):
    assert answer(say("text", status))[::2] == (status, b"text")


@pytest.mark.parametrize("status", [408, 429, 503])
def test_an_answer_of_an_application_stays(status):
    app = say("text", status, [(b"content-length", b"4")])
    assert answer(app)[::2] == (status, b"text")


def test_rays_own_addresses_stay():
    assert answer(say("no route", 503), "/-/healthz")[::2] == (503, b"no route")


def test_an_answer_that_is_begun_is_cut_off():
    async def app(scope, receive, send):
        await say("text", 200)(scope, receive, send)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        answer(app)


async def read_all(scope, receive, send):
    """Answer with the body, as a replica does; answer nothing to who has gone away."""
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            return await say(body, 200)(scope, receive, send)
    return None


ANNOUNCED, CHUNKED = [(b"content-length", b"9")], [(b"transfer-encoding", b"chunked")]


@pytest.mark.parametrize("headers", [ANNOUNCED, CHUNKED])
def test_a_body_within_the_limit_arrives_whole(monkeypatch, headers):
    monkeypatch.setenv("EISEN_MAX_BODY", "9B")
    pieces = [b"123", b"456", b"789"]
    assert answer(read_all, headers=headers, pieces=pieces)[::2] == (200, b"123456789")
    assert answer(read_all, pieces=[b""])[::2] == (200, b"")


@pytest.mark.parametrize("headers", [ANNOUNCED, CHUNKED])
def test_a_larger_body_is_not_read(monkeypatch, headers):
    """Announced, nothing of it reaches the application; else no more than the limit."""
    monkeypatch.setenv("EISEN_MAX_BODY", "8B")
    seen = []

    async def app(scope, receive, send):
        while (message := await receive())["type"] == "http.request":
            seen.append(message["body"])

    pieces = [b"123", b"456", b"789"]
    status, sent, body = answer(app, headers=headers, pieces=pieces)
    error = json.loads(body)
    assert (status, error["type"]) == (413, "RequestTooLarge")
    assert sent[b"connection"] == b"close"
    assert "EISEN_MAX_BODY" in error["error"]
    assert seen == ([] if headers is ANNOUNCED else [b"123", b"456"])


def test_bodies_are_limited_together(monkeypatch):
    """One is refused while another one is being answered, and taken afterwards."""
    monkeypatch.setenv("EISEN_MAX_BODY", "8B")
    monkeypatch.setattr("eisen_deploy.serving.engines.ray.proxy.share_for_bodies", lambda _: 10)
    request = {"headers": [(b"content-length", b"6")], "pieces": [b"123456"]}

    async def ask_during_another():
        received, goes_on = asyncio.Event(), asyncio.Event()

        async def app(scope, receive, send):
            async def receive_slowly():
                message = await receive()
                if scope["path"] == "/first":
                    received.set()
                    await goes_on.wait()
                return message

            await read_all(scope, receive_slowly, send)

        wrapped = wrap(app)
        first = asyncio.create_task(exchange(wrapped, "/first", **request))
        await received.wait()
        second = await exchange(wrapped, **request)
        goes_on.set()
        return await first, second, await exchange(wrapped, **request)

    first, second, third = asyncio.run(ask_during_another())
    assert [first[0], second[0], third[0]] == [200, 503, 200]
    assert json.loads(second[2])["type"] == "NotExecuted"


def test_a_size_that_is_none_is_named(monkeypatch):
    monkeypatch.setenv("EISEN_MAX_BODY", "much")
    with pytest.raises(ValueError, match="EISEN_MAX_BODY: expected a size such as 512MiB"):
        middlewares()
