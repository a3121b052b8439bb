"""What each answer of the handler, of TorchServe and of a proxy becomes."""

from __future__ import annotations

import json
import re

import pytest

import eisen_deploy.client as public
from eisen_deploy.client import EisenClientError, InvalidInput
from eisen_deploy.client._call import server_errors

TYPED = [
    # the handler's
    (400, "MalformedBody", "MalformedRequest"),
    (413, "BodyTooLarge", "RequestTooLarge"),
    (413, "RequestTooLarge", "RequestTooLarge"),
    (413, "ReplyTooLarge", "ReplyTooLarge"),
    (415, "UnsupportedMediaType", "UnsupportedMedia"),
    (422, "InvalidInput", "InvalidInput"),
    (500, "TransformFailed", "ModelFailed"),
    (500, "ModelFailed", "ModelFailed"),
    (500, "InvalidOutput", "ModelFailed"),
    (503, "NotExecuted", "ServerBusy"),
    (504, "TimedOut", "ServerFailed"),
    (507, "OutOfMemory", "OutOfMemory"),
    # TorchServe's
    (400, "BadRequestException", "MalformedRequest"),
    (400, "InvalidKeyException", "Unauthorized"),
    (404, "ModelNotFoundException", "ModelNotFound"),
    (404, "ModelVersionNotFoundException", "ModelNotFound"),
    (404, "ResourceNotFoundException", "ModelNotFound"),
    (405, "MethodNotAllowedException", "ModelNotFound"),
    (409, "ConflictStatusException", "RequestRefused"),
    (408, "RequestTimeoutException", "RequestRefused"),
    (408, "TooSlow", "RequestRefused"),
    (403, "IllegalArgumentException", "MalformedRequest"),
    (507, "OutOfMemoryError", "OutOfMemory"),
    (507, "OutOfDirectMemoryError", "ServerBusy"),
    (503, "ServiceUnavailableException", "ServerBusy"),
    (503, "InternalServerException", "ModelFailed"),
    (500, "InternalServerException", "ModelFailed"),
    (507, "InternalServerException", "OutOfMemory"),
    # names not known here: by status
    (400, "NewKindOfError", "MalformedRequest"),
    (418, "NewKindOfError", "RequestRefused"),
    (500, "NewKindOfError", "ServerFailed"),
    (500, "NullPointerException", "ServerFailed"),
    (503, "NewKindOfError", "ServerFailed"),
    # the type wins over the status
    (500, "InvalidInput", "InvalidInput"),
    (400, "ServiceUnavailableException", "ServerBusy"),
]
#: Whether the model has run when an answer becomes one of these; it may have with any other.
EXECUTED = {
    "ModelFailed": True,
    **dict.fromkeys(
        ["MalformedRequest", "RequestTooLarge", "UnsupportedMedia", "InvalidInput", "Unauthorized"],
        False,
    ),
    **dict.fromkeys(["ModelNotFound", "RequestRefused", "ServerBusy"], False),
    **dict.fromkeys(["Redirected", "ProxyFailed"], False),
}
PAGES = [
    (201, "UnexpectedReply"),
    (204, "UnexpectedReply"),
    (206, "UnexpectedReply"),
    (300, "Redirected"),
    (304, "Redirected"),
    (307, "Redirected"),
    (400, "MalformedRequest"),
    (401, "Unauthorized"),
    (402, "RequestRefused"),
    (403, "Unauthorized"),
    (404, "ModelNotFound"),
    (405, "ModelNotFound"),
    (407, "ProxyFailed"),
    (408, "ServerFailed"),
    (413, "RequestTooLarge"),
    (415, "UnsupportedMedia"),
    (422, "InvalidInput"),
    (429, "ServerBusy"),
    (500, "ServerFailed"),
    (502, "ServerFailed"),
    (503, "ServerFailed"),
    (504, "ServerFailed"),
    (507, "OutOfMemory"),
    (599, "ServerFailed"),
    (600, "UnexpectedReply"),
    (999, "UnexpectedReply"),
]


@pytest.fixture
def ask(serve, connect, http):
    """Return the error that an answer becomes."""

    def call(answer):
        server = serve(http.always(answer))
        with pytest.raises(EisenClientError) as caught:
            connect(server).predict({"x": 1})
        assert len(server.seen) == 1
        return caught.value

    return call


@pytest.mark.parametrize(("status", "type_", "expected"), TYPED)
def test_an_error_is_read_by_its_type(status, type_, expected, ask, http):
    error = ask(http.error(status, type_, "because of this"))
    assert type(error) is getattr(public, expected)
    assert (error.status, error.type, error.server_message) == (status, type_, "because of this")
    assert "because of this" in str(error)
    assert error.retry is (expected == "ServerBusy")
    assert error.executed is EXECUTED.get(expected)
    assert error.advice
    assert str(error).endswith(error.advice)


@pytest.mark.parametrize(("status", "expected"), PAGES)
@pytest.mark.parametrize("body", [b"", b"<html>canary</html>"], ids=["empty", "html"])
def test_an_answer_without_a_type_is_read_by_its_status(status, expected, body, ask, http):
    body = b"" if status in (204, 304) else body
    error = ask(http.reply(status, {"Content-Type": "text/html"}, body))
    assert type(error) is getattr(public, expected)
    assert (error.status, error.type, error.server_message) == (status, None, None)
    assert str(status) in str(error)
    assert error.executed is EXECUTED.get(expected)
    assert "canary" not in str(error)


def test_every_type_of_answer_is_in_the_table_above():
    assert set(server_errors.BY_TYPE) <= {type_ for _, type_, _ in TYPED}
    assert set(server_errors.BY_STATUS) <= {status for status, _ in PAGES}


def test_a_dead_worker_is_distinguished_from_a_failing_model(ask, http):
    error = ask(http.error(500, "InternalServerException", "Worker died."))
    assert type(error) is public.WorkerDied
    assert "max_response_size" in str(error)
    assert not error.retry


def test_a_killed_worker_is_reported_as_died_and_not_as_out_of_memory(ask, http):
    error = ask(http.error(507, "InternalServerException", "Worker died."))
    assert type(error) is public.WorkerDied
    assert "SIGKILL" in error.advice
    assert error.executed is None


def test_every_problem_found_by_the_server_is_reported(ask, http):
    problems = ["image: expected shape [1], got [2]", "age: is missing"]
    error = ask(http.error(422, "InvalidInput", "; ".join(problems), problems=problems))
    assert type(error) is InvalidInput
    assert error.problems == tuple(problems)
    assert isinstance(error, ValueError)


def test_a_422_without_a_list_has_its_message_as_the_problem(ask, http):
    assert ask(http.error(422, "InvalidInput", "age: is missing")).problems == ("age: is missing",)
    assert len(ask(http.reply(422)).problems) == 1


def test_the_servers_request_id_is_kept(ask, http):
    assert ask(http.reply(500, {"X-Request-Id": "0b5-77"})).request_id == "0b5-77"
    for headers in ({"X-Request-Id": "two words"}, {}):
        assert re.fullmatch("[0-9a-f]{16}", ask(http.reply(500, headers)).request_id)


def test_the_model_is_named_as_the_server_names_it(ask, http):
    assert ask(http.reply(500, {"Eisen-Model-Name": "segmentation"})).model == "segmentation"
    assert ask(http.reply(500, {"Eisen-Model-Name": "two words"})).model == "seg"


def test_a_proxy_that_wants_credentials_says_how_to_give_them(ask, http):
    assert "HTTPS_PROXY=http://USER:PASSWORD@" in str(ask(http.reply(407)))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7), (" 0 ", 0), ("-1", None), ("soon", None), ("", None), ("9" * 30, None)],
)
def test_how_long_a_busy_server_asks_to_wait(text, seconds, ask, http):
    assert ask(http.reply(429, {"Retry-After": text})).retry_after == seconds


def test_a_busy_server_may_name_a_date(ask, http):
    past = ask(http.reply(503, {"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}))
    assert past.retry_after == 0
    later = ask(http.reply(503, {"Retry-After": "Fri, 06 Nov 2994 08:49:37 GMT"}))
    assert later.retry_after > 1e9


@pytest.mark.parametrize(
    "body",
    [
        b'{"type": 5, "message": ["a"], "problems": {"a": 1}}',
        b'{"type": "", "message": "  "}',
        b"[" * 100_000,
        b'"type"',
        b"\xff\xfe",
        b'{"type": NaN}',
        b'{"type": "ModelFailed"',
        b"{}",
    ],
)
def test_a_strange_error_body_is_only_its_status(body, ask, http):
    error = ask(http.reply(503, {"Content-Type": "application/json"}, body))
    assert type(error) is public.ServerFailed
    assert (error.type, error.server_message) == (None, None)


def test_a_strangers_text_stays_on_one_line_and_short(ask, http):
    message = "one\r\ntwo\x1b[31m\u202e" + "x" * 3000
    problems = [message[:500], 5, ""] * 100
    error = ask(http.error(422, "InvalidInput", message, problems=problems))
    assert error.server_message.startswith("one two?[31m?xxx")
    assert len(error.server_message) == 1000
    assert 0 < len(error.problems) <= 100
    assert len(str(error)) < 1300
    assert str(error).isprintable()


@pytest.mark.parametrize("body", [b"x" * 300_000, json.dumps({"type": "ModelFailed"}).encode()])
def test_an_error_page_is_not_read_beyond_reason(body, serve, connect, http):
    """Neither one that is announced as long nor one that never ends."""

    def endless(peer):
        peer.receive()
        peer.send(b"HTTP/1.1 500 \r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            peer.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")

    for script in (endless, http.once(http.reply(500, {"Content-Length": 10**12}, body))):
        with pytest.raises(public.ServerFailed) as caught:
            connect(serve(script)).predict({"x": 1})
        assert caught.value.type is None


def test_a_redirect_is_named_but_not_followed(serve, connect, http):
    other = serve(http.echo())
    location = f"http://user:canary1@127.0.0.1:{other.port}/login/?next=canary2"
    for status in (301, 302, 303, 307, 308):
        server = serve(http.always(http.reply(status, {"Location": location}, b"moved")))
        with pytest.raises(public.Redirected) as caught:
            connect(server, token="key").predict({"x": 1})
        assert f"to http://127.0.0.1:{other.port}/login, not followed" in str(caught.value)
        assert "canary" not in str(caught.value)
    assert other.connections == 0


@pytest.mark.parametrize("location", ["", "//", "http://[", "javascript:alert()", "a b", None])
def test_a_redirect_to_nowhere_is_a_redirect(location, ask, http):
    error = ask(http.reply(302, {} if location is None else {"Location": location}))
    assert type(error) is public.Redirected


def test_a_redirect_with_an_endless_body_is_not_read(serve, connect):
    def script(peer):
        peer.receive()
        peer.send(b"HTTP/1.1 302 \r\nLocation: /x\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            peer.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")

    with pytest.raises(public.Redirected):
        connect(serve(script)).predict({"x": 1})
