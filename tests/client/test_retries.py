"""A request is sent again where that does no harm, within the one deadline."""

from __future__ import annotations

import gc
import socket
import threading
import time
import weakref
from contextlib import nullcontext, suppress

import numpy as np
import pytest

from eisen_deploy.client import (
    Cancelled,
    ConnectionFailed,
    DeadlineExceeded,
    EisenClientError,
    EisenServingClient,
    ModelFailed,
    ProxyFailed,
    Retries,
    ServerBusy,
    ServerFailed,
    TLSFailed,
    Unauthorized,
    UnknownOutcome,
    WorkerDied,
)
from eisen_deploy.client.testing import FakeModel

SOON = Retries(3, first_delay=0.001)


def each(*steps):
    """Return a script that answers each request with the next of some bytes; ``None`` closes."""
    left = list(steps)

    def script(peer):
        while peer.receive() is not None:
            answer = left.pop(0) if left else steps[-1]
            if answer is None:
                return
            peer.send(answer)

    return script


@pytest.fixture
def answers(http):
    return {
        "ok": http.oip({"y": 1}),
        "busy": http.error(503, "ServiceUnavailableException", "no worker"),
        "wait": http.reply(429, {"Retry-After": "0"}),
        "died": http.error(500, "InternalServerException", "Worker died."),
        "failed": http.error(500, "ModelFailed", "raised"),
        "gateway": http.reply(502),
        "crash": http.reply(500, {"Content-Type": "text/plain"}, b"Internal Server Error"),
        "replica": http.error(502, "ReplicaLost", "the replica was lost"),
        "lost": None,
    }


@pytest.mark.parametrize(
    ("steps", "idempotent", "sent", "expected"),
    [
        ("ok", False, 1, None),
        ("busy ok", False, 2, None),
        ("wait ok", False, 2, None),
        ("busy busy wait ok", False, 4, None),
        ("busy", False, 4, ServerBusy),
        ("failed ok", True, 1, ModelFailed),
        ("gateway ok", False, 1, ServerFailed),
        ("gateway ok", True, 2, None),
        ("crash ok", False, 1, ServerFailed),
        ("crash ok", True, 2, None),
        ("replica ok", False, 1, ServerFailed),
        ("replica replica ok", True, 3, None),
        ("lost ok", False, 1, UnknownOutcome),
        ("lost ok", True, 2, None),
        ("lost", True, 4, UnknownOutcome),
        ("died ok", False, 1, WorkerDied),
        ("died ok", True, 2, None),
        ("died died ok", True, 2, WorkerDied),
        ("busy died lost died ok", True, 4, WorkerDied),
        ("busy failed", False, 2, ModelFailed),
    ],
)
def test_which_failures_are_sent_again(steps, idempotent, sent, expected, serve, connect, answers):
    server = serve(each(*[answers[name] for name in steps.split()]))
    client = connect(server, retries=SOON)
    if expected is None:
        assert client.predict({"x": 1}, idempotent=idempotent) == {"y": 1}
    else:
        with pytest.raises(expected) as caught:
            client.predict({"x": 1}, idempotent=idempotent)
        assert caught.value.attempts == sent
    assert len(server.seen) == sent
    assert len({request.headers["x-request-id"] for request in server.seen}) == 1


def test_a_call_is_made_again_by_default(serve, http, answers):
    server = serve(each(answers["busy"], answers["ok"]))
    with EisenServingClient(server.url, timeout=10) as client:
        assert client.predict({"x": 1}) == {"y": 1}


def test_metadata_is_asked_for_again_even_when_its_reply_was_lost(serve, connect, http):
    server = serve(each(None, http.reply(200, body=b"{}")))
    assert connect(server, retries=SOON).get_metadata() == {}
    assert len(server.seen) == 2


def test_no_connection_is_tried_again(connect):
    """The server comes only after the first attempt."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionFailed, match="attempt 4") as caught:
        connect(f"http://127.0.0.1:{port}/m", retries=SOON).predict({"x": 1})
    assert (caught.value.stage, caught.value.attempts) == ("connecting", 4)


def test_a_server_that_starts_late_is_found(serve, connect, http):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    ready = []

    def random():  # called before each wait: the server starts then
        if not ready:
            ready.append(socket.create_server(("127.0.0.1", port)))
            threading.Thread(target=answer, daemon=True).start()
        return 1.0

    def answer():
        sock, _ = ready[0].accept()
        with sock:
            sock.recv(65536)
            sock.sendall(http.oip({"y": 1}))

    client = connect(
        f"http://127.0.0.1:{port}/m", retries=Retries(1, first_delay=0.01, random=random)
    )
    assert client.predict({"x": 1}) == {"y": 1}
    ready[0].close()


def test_a_body_that_was_cut_off_is_sent_again_only_if_that_is_allowed():
    for idempotent, sent in ((False, 1), (True, 2)):
        model = FakeModel({}, dict)
        model.fail(ConnectionFailed("cut off", stage="sending"))
        client = EisenServingClient("http://host/m", retries=SOON, transport=model)
        with nullcontext() if idempotent else pytest.raises(ConnectionFailed):
            client.predict({"x": 1}, idempotent=idempotent)
        assert len(model.requests) == sent


def test_a_deadline_bounds_all_attempts(serve, connect, answers):
    start = time.monotonic()
    client = connect(serve(each(answers["busy"])), retries=Retries(50, first_delay=0.05))
    with pytest.raises((ServerBusy, DeadlineExceeded)):
        client.predict({"x": 1}, timeout=0.3)
    assert time.monotonic() - start < 0.8


def test_no_wait_that_would_outlast_the_deadline(serve, connect, http):
    server = serve(http.always(http.reply(429, {"Retry-After": "60"})))
    start = time.monotonic()
    with pytest.raises(ServerBusy) as caught:
        connect(server, retries=3).predict({"x": 1}, timeout=5)
    assert time.monotonic() - start < 2
    assert caught.value.retry_after == 60
    assert len(server.seen) == 1


def test_the_server_may_ask_for_a_longer_wait(serve, connect, http):
    server = serve(each(http.reply(429, {"Retry-After": "1"}, b"busy"), http.oip({"y": 1})))
    start = time.monotonic()
    connect(server, retries=SOON).predict({"x": 1})
    assert time.monotonic() - start >= 1


def test_a_late_reply_is_not_asked_for_again(serve, connect):
    server = serve(lambda peer: (peer.receive(), peer.wait_for_close()))
    with pytest.raises(DeadlineExceeded):
        connect(server, retries=SOON).predict({"x": 1}, timeout=0.1, idempotent=True)
    assert len(server.seen) == 1


@pytest.mark.parametrize("error", [DeadlineExceeded, Cancelled])
def test_a_call_that_was_given_up_is_given_up(error):
    """Even if nothing was sent, and there seems to be time."""
    model = FakeModel({}, dict)
    model.fail(error("given up", retry=True, executed=False, stage="connecting"))
    client = EisenServingClient("http://host/m", retries=SOON, transport=model)
    with pytest.raises(error, match="given up"):
        client.predict({"x": 1}, idempotent=True)
    assert len(model.requests) == 1


def test_an_untrusted_server_is_not_asked_again(serve, connect, http, tls_context):
    server = serve(http.echo(), tls_context)
    with pytest.raises(TLSFailed):
        connect(server, retries=SOON).predict({"x": 1}, idempotent=True)
    assert server.connections == 1


def test_a_proxy_that_refuses_is_not_asked_again(serve, connect, http, monkeypatch):
    proxy = serve(http.always(http.reply(407)))
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
    with pytest.raises(ProxyFailed):
        connect("http://model.invalid/m", retries=SOON).predict({"x": 1}, idempotent=True)
    assert len(proxy.seen) == 1


def test_the_error_mentions_the_first_attempt(serve, connect, answers):
    with pytest.raises(
        ModelFailed, match=r"attempt 2; the first ended with ServerBusy.*no wor"
    ) as (caught):
        connect(serve(each(answers["busy"], answers["failed"])), retries=SOON).predict({"x": 1})
    assert isinstance(caught.value.__cause__, ServerBusy)
    assert caught.value.first_failure.startswith("ServerBusy: the server answered 503")


def test_a_repeated_error_is_reported_once(serve, connect, answers):
    with pytest.raises(ServerBusy) as caught:
        connect(serve(each(answers["busy"])), retries=SOON).predict({"x": 1})
    assert str(caught.value).count("no worker") == 2  # the server's words, and the advice
    assert "(attempt 4)" in str(caught.value)


def test_what_an_earlier_attempt_may_have_done_is_not_forgotten(serve, connect, answers):
    server = serve(each(None, answers["busy"]))
    with pytest.raises(ServerBusy) as caught:
        connect(server, retries=SOON).predict({"x": 1}, idempotent=True)
    assert (caught.value.executed, caught.value.retry) == (None, False)


# --- the token ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401])
def test_a_token_that_expired_is_read_again_once(status, serve, connect, http):
    tokens = iter(["old", "new", "never"])

    def script(peer):
        while (request := peer.receive()) is not None:
            if request.headers["authorization"] == "Bearer new":
                peer.send(http.oip({"y": 1}))
            elif status == 400:
                peer.send(http.error(400, "InvalidKeyException", "Token expired"))
            else:
                peer.send(http.reply(401))

    server = serve(script)
    client = connect(server, token=lambda: next(tokens))  # with no retries
    assert client.predict({"x": 1}) == {"y": 1}
    assert len(server.seen) == 2


def test_a_token_that_stays_wrong_is_not_sent_for_ever(serve, connect, http):
    server = serve(http.always(http.error(400, "InvalidKeyException", "no")))
    with pytest.raises(Unauthorized) as caught:
        connect(server, token=lambda: "key", retries=SOON).predict({"x": 1})
    assert (len(server.seen), caught.value.attempts) == (2, 2)


def test_a_token_that_cannot_change_is_sent_once(serve, connect, http):
    server = serve(http.always(http.reply(401)))
    with pytest.raises(Unauthorized):
        connect(server, token="key", retries=SOON).predict({"x": 1})
    assert len(server.seen) == 1


def test_a_token_without_the_right_is_not_read_again(serve, connect, http):
    server = serve(http.always(http.reply(403)))
    with pytest.raises(Unauthorized):
        connect(server, token=lambda: "key", retries=SOON).predict({"x": 1})
    assert len(server.seen) == 1


# --- the policy ---------------------------------------------------------------------------


def test_waits_grow_and_are_a_random_part_of_that():
    full = Retries(first_delay=0.5, max_delay=3, random=lambda: 1.0)
    assert [full.delay(number) for number in (1, 2, 3, 4, 1000)] == [0.5, 1, 2, 3, 3]
    assert Retries(random=lambda: 0.0).delay(5) == 0
    drawn = {Retries(first_delay=1).delay(1) for _ in range(20)}
    assert len(drawn) > 1
    assert all(0 <= delay <= 1 for delay in drawn)


@pytest.mark.parametrize("count", [-1, 1.5, True, "3", None])
def test_a_count_is_a_number(count):
    with pytest.raises(ValueError, match="retries must be"):
        EisenServingClient("http://host/m", retries=count)


@pytest.mark.parametrize("delay", [-1, float("nan")])
def test_a_delay_is_a_number_of_seconds(delay):
    with pytest.raises(ValueError, match="first_delay and max_delay"):
        Retries(first_delay=delay)
    with pytest.raises(ValueError, match="first_delay and max_delay"):
        Retries(max_delay=delay)


def test_the_repr_of_a_policy_shows_its_values():
    assert repr(Retries(5, first_delay=1)) == "Retries(5, first_delay=1, max_delay=8.0)"


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("steps", ["ok", "busy ok", "failed", "lost", "busy lost"])
def test_a_finished_call_releases_its_batch(steps, serve, connect, answers):
    """Neither the connection, nor a cycle of an error and its frames, keeps it."""
    client = connect(serve(each(*[answers[name] for name in steps.split()])), retries=SOON)
    gc.collect()
    gc.disable()
    try:
        value = np.zeros(10)
        gone = weakref.ref(value)
        batch = {"x": value}
        del value
        with suppress(EisenClientError):
            client.predict(batch)
        del batch
        assert gone() is None
    finally:
        gc.enable()
