"""What a proxy of Ray answers itself becomes a typed error; nothing else is touched."""

from __future__ import annotations

import asyncio
import json

import pytest
from ray.serve._private.http_util import convert_object_to_asgi_messages

from eisen_deploy.serving.ray import middlewares


def answer(app, path="/predictions/model"):
    """Return status, headers and body of what an application answers behind the middleware."""
    [middleware] = middlewares()
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "path": path, "method": "POST", "headers": []}
    asyncio.run(middleware.cls(app)(scope, None, send))
    start, *bodies = sent
    return start["status"], dict(start["headers"]), b"".join(each["body"] for each in bodies)


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
