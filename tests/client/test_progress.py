"""The progress of a transfer, reported to the caller."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from eisen_deploy.client import Progress, Retries, ServerBusy

MIB = 2**20


def test_progress_is_reported_from_the_beginning_to_the_end(serve, connect, http):
    value, told = np.zeros(64 * MIB, np.uint8), []
    answer = http.oip({"y": value})
    size = len(answer.partition(b"\r\n\r\n")[2])

    def script(peer):
        _, headers = peer.receive_head()
        time.sleep(0.2)  # the system takes some of the body meanwhile, but not all
        peer.discard_body(int(headers["content-length"]))
        peer.send(answer[: size // 2])
        time.sleep(0.2)
        peer.send(answer[size // 2 :])

    connect(serve(script)).predict({"x": value}, progress=told.append)
    total = told[-1].to_send
    assert total > value.nbytes
    assert told[-1] == (total, total, size, size)
    assert told == sorted(told, key=lambda each: (each.sent, each.received))
    assert len(set(told)) == len(told)
    assert any(0 < each.sent < total for each in told)
    assert any(0 < each.received < size == each.to_receive for each in told)
    assert any(each.to_receive is None for each in told)


def test_the_progress_of_a_short_call_is_reported_too(serve, connect, http):
    told = []
    connect(serve(http.echo())).predict({"x": 1}, progress=told.append)
    assert isinstance(told[-1], Progress)
    assert told[-1].sent == told[-1].to_send > 0
    assert told[-1].received == told[-1].to_receive > 0


def test_progress_is_reported_on_the_callers_thread(serve, connect, http):
    seen = set()
    connect(serve(http.echo())).predict(
        {"x": 1}, progress=lambda _: seen.add(threading.current_thread())
    )
    assert seen == {threading.current_thread()}


def test_a_reply_of_unknown_size_has_no_total(serve, connect):
    body = b'{"outputs": []}'
    answer = b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
    told = []

    def script(peer):
        peer.receive()
        peer.send(answer % (len(body), body))

    connect(serve(script)).predict({"x": 1}, progress=told.append)
    assert told[-1].to_receive is None
    assert told[-1].received == len(body)


@pytest.mark.parametrize("error", [OSError("mine"), TimeoutError("mine"), KeyError("mine")])
def test_an_error_of_the_callback_ends_the_call(error, serve, connect):
    left = threading.Event()

    def script(peer):
        peer.receive()
        peer.wait_for_close()
        left.set()

    def fail(_):
        raise error

    server = serve(script)
    with pytest.raises(type(error), match="mine") as caught:
        connect(server, retries=3).predict({"x": 1}, progress=fail)
    assert caught.value is error
    assert left.wait(5)
    assert server.connections == 1


def test_the_progress_of_the_next_attempt_starts_at_zero(serve, connect, http):
    told = []
    server = serve(http.always(http.error(503, "ServiceUnavailableException", "busy" * 100)))
    client = connect(server, retries=Retries(1, first_delay=0.001))
    with pytest.raises(ServerBusy):
        client.predict({"x": 1}, progress=told.append)
    ends = [each for each in told if each.received]
    assert len(ends) == 2
