"""Large batches: nothing is joined on the way out, and one buffer holds the reply."""

from __future__ import annotations

import socket
import tracemalloc

import numpy as np
import pytest

from eisen_deploy.client._http import exchange as exchanges
from eisen_deploy.client._shared.wire import protocol
from eisen_deploy.client._waiting import deadline

MIB = 2**20


@pytest.fixture
def peak():
    """Trace memory; the fixture's value is the peak in bytes since the test began."""
    tracemalloc.start()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    yield lambda: tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()


def test_a_body_has_a_length_and_is_sent_in_views(serve, connect, http):
    heads = []

    def script(peer):
        heads.append(peer.receive_head()[1])
        peer.discard_body(int(heads[0]["content-length"]))
        peer.send(http.oip({}))

    connect(serve(script)).predict({"x": np.zeros(3 * MIB, np.uint8)})
    assert "transfer-encoding" not in heads[0]
    assert int(heads[0]["content-length"]) == 3 * MIB + int(
        heads[0]["inference-header-content-length"]
    )


def test_the_pieces_are_views_of_the_arrays():
    data = bytearray(2 * MIB + 5)
    body = protocol.Body((b"abc", memoryview(data)), 3)
    exchange = exchanges.Exchange(deadline.Deadline(None), body)
    upload = exchanges.Upload(exchange)
    assert len(upload) == 3 + len(data)
    sizes = []
    for piece in upload:
        sizes.append(len(piece))
        assert piece.obj in (b"abc", data)
        assert exchange.complete is (len(sizes) == 4)
    assert sizes == [3, MIB, MIB, 5]
    assert exchange.sent == exchange.size


@pytest.mark.parametrize(("size", "sends"), [(10, 1), (100_000, 2), (3 * MIB, 4)])
def test_a_small_request_is_one_packet(serve, connect, http, monkeypatch, size, sends):
    """Of a large one the array goes by itself, after the headers and the JSON part."""
    server = serve(http.always(http.oip({})))
    sent = []

    def sendall(sock, data, *flags):
        if sock.getpeername()[1] == server.port:
            sent.append(len(data))
        return plain(sock, data, *flags)

    plain = socket.socket.sendall
    monkeypatch.setattr(socket.socket, "sendall", sendall, raising=False)
    connect(server).predict({"x": np.zeros(size, np.uint8)})
    assert len(sent) == sends
    assert sum(sent) > size


def test_sending_allocates_no_copy(serve, connect, http, peak):
    value = np.ones(8 * MIB, np.float32)
    received = []

    def script(peer):
        _, headers = peer.receive_head()
        received.append(int(headers["content-length"]))
        peer.discard_body(received[0])
        peer.send(http.oip({"y": 1}))

    client = connect(serve(script))
    before = peak()
    client.predict({"x": value, "z": value[:1000]})
    assert received[0] > value.nbytes
    assert peak() - before < 4 * MIB


def test_receiving_allocates_one_reply(serve, connect, http, peak):
    value = np.arange(8 * MIB, dtype=np.float32)
    answer = http.oip({"y": value})
    before = peak()

    def script(peer):
        peer.receive()
        peer.send(answer)

    result = connect(serve(script)).predict({"x": 1})["y"]
    assert peak() - before < value.nbytes + 5 * MIB
    assert result[-1] == value[-1]
    assert not result.flags.owndata


def test_outputs_are_views_of_one_buffer(serve, connect, http):
    answer = http.oip({"a": np.zeros(5), "b": np.zeros(7, np.int16), "c": np.ones(3, bool)})
    result = connect(serve(http.always(answer))).predict({"x": 1})
    starts = sorted(value.__array_interface__["data"][0] for value in result.values())
    assert starts[-1] - starts[0] == 5 * 8 + 7 * 2


def test_replies_do_not_share_memory(serve, connect, http):
    client = connect(serve(http.echo()))
    first, second = (client.predict({"x": np.zeros(4)})["x"] for _ in range(2))
    first += 1
    assert not second.any()
