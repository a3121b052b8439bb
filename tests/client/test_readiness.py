"""Waiting for a model: what is waited for, what is not, and what the last obstacle was."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from eisen_deploy.client import (
    Cancellation,
    Cancelled,
    DeadlineExceeded,
    EisenServingClient,
    MalformedReply,
    ModelNotFound,
    NotReady,
    ServerBusy,
    ServerFailed,
    TLSFailed,
    Unauthorized,
    WorkerDied,
)
from eisen_deploy.client._call.retries import Retries
from eisen_deploy.client._waiting import deadline, readiness

AT_ONCE = Retries(first_delay=0)


@pytest.mark.parametrize(
    "obstacle",
    [
        lambda http: http.error(503, "ServiceUnavailableException", "no worker"),
        lambda http: http.reply(503, body=b"<html>"),
        lambda http: http.reply(502),
        lambda http: http.reply(504),
        lambda http: http.error(500, "InternalServerException", "Worker died."),
        lambda http: b"",
    ],
)
def test_errors_that_are_waited_for(obstacle, serve, connect, http, monkeypatch):
    answers = [obstacle(http)] * 2 + [http.reply(200, body=b'{"inputs": []}')]

    def script(peer):
        peer.receive()
        peer.send(answers.pop(0))

    monkeypatch.setattr(readiness.wait_ready, "__defaults__", (AT_ONCE,))
    server = serve(script)
    assert connect(server).wait_ready(10) == {"inputs": []}
    assert server.connections == 3
    assert all(request.body == b"" for request in server.seen)


def test_a_server_that_does_not_run_yet_is_waited_for(connect, serve, http):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    listeners = []

    def start():
        listeners.append(socket.create_server(("127.0.0.1", port)))
        sock, _ = listeners[0].accept()
        with sock:
            sock.recv(65536)
            sock.sendall(http.reply(200, body=b"{}"))

    timer = threading.Timer(0.1, start)
    timer.start()
    assert connect(f"http://127.0.0.1:{port}/m").wait_ready(10) == {}
    timer.join()
    listeners[0].close()


@pytest.mark.parametrize(
    ("obstacle", "expected"),
    [
        (lambda http: http.error(404, "ModelNotFoundException", "no"), ModelNotFound),
        (lambda http: http.reply(401), Unauthorized),
        (lambda http: http.error(400, "InvalidKeyException", "no"), Unauthorized),
        (lambda http: http.reply(500), ServerFailed),
        (lambda http: http.reply(200, body=b"[]"), MalformedReply),
    ],
)
def test_errors_that_are_raised_at_once(obstacle, expected, serve, connect, http):
    server = serve(http.always(obstacle(http)))
    with pytest.raises(expected) as caught:
        connect(server).wait_ready(10)
    assert len(server.seen) == 1
    assert caught.value.endpoint == server.url


def test_a_certificate_that_is_not_trusted_is_not_waited_for(serve, connect, http, tls_context):
    server = serve(http.echo(), tls_context)
    with pytest.raises(TLSFailed):
        connect(server).wait_ready(10)
    assert server.connections == 1


def test_the_last_obstacle_is_reported(serve, connect, http):
    server = serve(http.always(http.error(503, "ServiceUnavailableException", "no worker yet")))
    start = time.monotonic()
    with pytest.raises(NotReady, match=r"within 0.3 s; the last obstacle was ServerBusy.*yet") as (
        caught
    ):
        connect(server).wait_ready(0.3)
    assert time.monotonic() - start < 0.8
    error = caught.value
    assert isinstance(error, (DeadlineExceeded, TimeoutError))
    assert (error.status, error.type) == (503, "ServiceUnavailableException")
    assert (error.executed, error.retry, error.endpoint) == (False, False, server.url)
    assert isinstance(error.__cause__, ServerBusy)


def test_a_model_that_never_answers(serve, connect):
    server = serve(lambda peer: (peer.receive(), peer.wait_for_close()))
    start = time.monotonic()
    with pytest.raises(NotReady, match=r"the last obstacle was DeadlineExceeded.*waiting for the"):
        connect(server).wait_ready(0.2)
    assert time.monotonic() - start < 0.7


def test_a_request_that_is_lost_is_not_waited_for_to_the_end(monkeypatch):
    monkeypatch.setattr(readiness, "PROBE_SECONDS", 0.05)
    waits = []

    def ask(deadline):
        waits.append(deadline.seconds)
        if len(waits) < 3:
            raise DeadlineExceeded("no reply")
        return "ready"

    assert readiness.wait_ready(ask, deadline.Deadline(5), AT_ONCE) == "ready"
    assert waits == [0.05] * 3


def test_a_worker_that_dies_is_waited_for_as_long_as_asked():
    def ask(deadline):
        raise WorkerDied("Worker died.")

    with pytest.raises(NotReady, match="WorkerDied"):
        readiness.wait_ready(ask, deadline.Deadline(0.05), AT_ONCE)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/m", "stalling"])
def test_waiting_can_be_cancelled(url, serve, connect):
    server = serve(lambda peer: (peer.receive(), peer.wait_for_close()))
    cancel, url = Cancellation(), server.url if url == "stalling" else url
    timer = threading.Timer(0.15, cancel.cancel)
    timer.start()
    start = time.monotonic()
    with pytest.raises(Cancelled) as caught:
        connect(url).wait_ready(10, cancel=cancel)
    assert time.monotonic() - start < 0.65
    assert caught.value.executed is False
    timer.join()


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), "5"])
def test_a_wait_is_a_number_of_seconds(timeout):
    with pytest.raises(ValueError, match="timeout must be"):
        EisenServingClient("http://host/m").wait_ready(timeout)
