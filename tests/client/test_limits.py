"""Requests that are too large: what is said of them, and what is refused before it is sent."""

from __future__ import annotations

import re

import numpy as np
import pytest

from eisen_deploy.client import (
    ConnectionFailed,
    EisenServingClient,
    InputSummary,
    RequestTooLarge,
    _errors,
)
from eisen_deploy.client._call import input_summaries, size_limit
from eisen_deploy.client._shared.wire import protocol

VOLUME = np.zeros((1, 1, 180, 1024, 1024), np.uint8)
SMALL = {"image": np.zeros(1000, np.uint8), "age": 61}


def body(size):
    return protocol.Body((b'{"inputs": []}'.ljust(size),), None)


@pytest.fixture
def too_large(serve, connect, http):
    """Return the error for a batch that is answered 413."""

    def call(batch, answer=None):
        def script(peer):
            _, headers = peer.receive_head()
            peer.discard_body(int(headers["content-length"]))
            peer.send(answer or http.reply(413, {"Connection": "close"}))

        with pytest.raises(RequestTooLarge) as caught:
            connect(serve(script)).predict(batch)
        return caught.value

    return call


def test_a_volume_is_named_with_all_sizes_and_the_setting(too_large):
    error = too_large({"image": VOLUME, "age": 61})
    text = str(error)
    assert f"it has {error.request_size} bytes, 180.0 MiB (image 180.0 MiB, age 6 bytes)" in text
    assert "6553500" not in text
    assert "raise max_request_size in the server's config.properties" in text
    assert error.inputs["image"] == ("uint8", VOLUME.shape, VOLUME.nbytes)
    assert error.executed is False
    assert not error.retry


def test_a_small_request_may_have_met_the_limit_of_a_proxy(too_large):
    error = too_large(SMALL)
    assert str(error.request_size) in str(error)
    assert "the limits of proxies on the way" in str(error)
    assert "known to take" not in str(error)


@pytest.mark.parametrize("size", [5000, 9_000_000])
def test_what_the_server_has_taken_is_said(size, serve, connect, http):
    """Whatever TorchServe would take: this one takes less, or more."""

    def script(peer):
        while (request := peer.receive()) is not None:
            small = len(request.body) < size + 1000
            peer.send(http.oip({"y": 1}) if small else http.reply(413))

    with connect(serve(script)) as client:
        client.predict({"x": np.zeros(size, np.uint8)})
        client.predict(SMALL)
        with pytest.raises(RequestTooLarge) as caught:
            client.predict({"x": np.zeros(size + 1000, np.uint8)})
    taken = re.search("the server is known to take ([0-9]+);", str(caught.value))
    assert size < int(taken[1]) < size + 1000


def test_what_was_wrongly_said_of_the_server_is_not_repeated(serve, connect, http):
    client = connect(serve(http.always(http.reply(413))), max_request=10**6)
    with pytest.raises(RequestTooLarge, match="answered 413") as caught:
        client.predict(SMALL)
    assert "known to take" not in str(caught.value)


def test_a_limit_that_the_server_states_is_shown(too_large, http):
    error = too_large(SMALL, http.error(413, "", "the body may have 1000 bytes"))
    assert "413: the body may have 1000 bytes: the request is too large; it has" in str(error)


def test_what_the_handler_finds_too_large_is_no_matter_of_the_setting(too_large, http):
    error = too_large(SMALL, http.error(413, "BodyTooLarge", "the JSON part"))
    assert "max_request_size" not in str(error)
    assert "the JSON part" in str(error)


def test_many_inputs_are_not_all_named(too_large):
    error = too_large({f"input{number}": number for number in range(20)})
    assert str(error).count("input") == 8
    assert "12 more" in str(error)
    assert len(error.inputs) == 20


def test_a_known_limit_is_not_exceeded(serve, connect, http):
    server = serve(http.echo())
    with pytest.raises(RequestTooLarge, match="was not sent: max_request is 900 bytes") as caught:
        connect(server, max_request=900).predict(SMALL)
    assert (caught.value.status, caught.value.stage, caught.value.executed) == (None, None, False)
    assert caught.value.inputs["image"].size == 1000
    assert server.connections == 0
    size = caught.value.request_size
    connect(server, max_request=size).predict(SMALL)
    with pytest.raises(RequestTooLarge):
        connect(server, max_request=size - 1).predict(SMALL)


def test_what_was_refused_is_not_sent_again_at_once(serve, connect, http):
    server = serve(http.always(http.reply(413)))
    client = connect(server)
    for expected in ("answered 413", "was not sent: the server refused"):
        with pytest.raises(RequestTooLarge, match=expected):
            client.predict(SMALL)
    assert len(server.seen) == 1
    server.script = http.echo()
    assert client.predict({"age": 61}) == {"age": 61}


def test_a_refusal_is_forgotten_after_a_while():
    now = [100.0]
    limit = size_limit.SizeLimit(None, lambda: now[0])
    refused = _errors.RequestTooLarge("no", status=413)
    limit.check(body(1000))
    limit.learn(1000, refused)
    limit.check(body(999))
    for size in (1000, 2000):
        with pytest.raises(RequestTooLarge, match="refused 1000 bytes"):
            limit.check(body(size))
    now[0] += size_limit.MEMORY
    limit.check(body(2000))


@pytest.mark.parametrize(
    "error",
    [
        _errors.RequestTooLarge("the handler's", status=413, type="BodyTooLarge"),
        _errors.RequestTooLarge("a guess", status=None),
        _errors.RequestRefused("another", status=413),
        _errors.ServerBusy("another", status=503),
    ],
)
def test_only_a_plain_refusal_is_remembered(error):
    limit = size_limit.SizeLimit(None)
    limit.learn(1000, error)
    limit.check(body(1000))


def test_what_the_server_has_taken_is_not_too_large_when_it_is_cut_off(serve, connect, http):
    cuts = 0

    def script(peer):
        nonlocal cuts
        if cuts:
            cuts -= 1
            peer.receive_head()
            peer.reset()
        else:
            http.echo()(peer)

    server = serve(script)
    large, larger = ({"x": np.zeros(size, np.uint8)} for size in (2**24, 2**25))
    with connect(server, retries=1) as client:
        client.predict(large)
        client.close()  # the next call has a connection of its own
        cuts = 1
        with pytest.raises(ConnectionFailed, match="broke after") as caught:
            client.predict(large)
        assert (caught.value.executed, caught.value.retry) == (False, True)
        cuts = 1
        assert client.predict(large, idempotent=True)["x"].size == 2**24
        client.close()
        cuts = 1
        with pytest.raises(RequestTooLarge, match="broke after"):
            client.predict(larger)


def test_what_the_caller_says_the_server_takes_is_not_too_large_either(serve, connect):
    client = connect(serve(lambda peer: peer.receive_head()), max_request=2**25, retries=0)
    with pytest.raises(ConnectionFailed):
        client.predict({"x": np.zeros(2**24, np.uint8)})


def test_what_is_known_to_be_taken_shrinks_with_a_refusal():
    limit = size_limit.SizeLimit(None)
    assert limit.taken == 0
    limit.learn(1000, None)
    limit.learn(10, None)
    assert limit.taken == 1000
    limit.learn(800, _errors.RequestTooLarge("no", status=413))
    assert limit.taken == 799
    limit.learn(900, _errors.RequestTooLarge("no", status=413))
    assert limit.taken == 799


@pytest.mark.parametrize("max_request", [0, -1, 1.5, True])
def test_a_limit_is_a_number_of_bytes(max_request):
    with pytest.raises(ValueError, match="max_request must be"):
        EisenServingClient("http://host/m", max_request=max_request)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.zeros((2, 3), ">f4"), ("float32", (2, 3), 24)),
        (np.zeros((2, 3), np.complex64), ("complex64", (2, 3), 48)),
        (np.array(["canary"]), ("str", (1,), 10)),
        (np.array([b"canary"]), ("bytes", (1,), 10)),
        (np.zeros((0, 7), bool), ("bool", (0, 7), 0)),
        ("canary", ("str", (), 10)),
        (float("nan"), ("float", (), 7)),
        ({"canary": ["canary"]}, ("json", (), 26)),
    ],
)
def test_the_description_of_an_input(value, expected):
    told = input_summaries.summarise_inputs(protocol.encode_request({"x": value, "y": 1}))
    assert told["x"] == InputSummary(*expected)
    assert set(told) == {"x", "y"}
    assert "canary" not in str(told)


def test_an_input_reads_well():
    assert str(InputSummary("float32", (1, 64), 256)) == "float32 [1, 64], 256 bytes"
    assert str(InputSummary("float32", (), 2**21)) == "float32 [], 2.0 MiB"
