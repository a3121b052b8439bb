"""The documented methods against a server that answers properly."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from eisen_deploy.client import EisenServingClient, InvalidInput, MalformedReply

METADATA = {
    "inputs": [
        {"name": "image", "type": "ndarray[float32]", "shape": [-1, 1, 4]},
        {"name": "age", "type": "int", "shape": []},
    ],
    "outputs": [{"name": "image", "type": "ndarray"}, {"name": "age", "type": "int"}],
    "custom": {"note": "ä"},
}


@pytest.mark.parametrize(
    "value",
    [
        np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        np.arange(24, dtype=">i2").reshape(2, 3, 4)[:, ::-1],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array(3.5),
        np.zeros((0, 7), np.uint8),
        np.array([True, False]),
        np.array([1 + 2j, 3 - 4j], np.complex64),
        np.array([["a", "ä"], ["", "b" * 70]]),
    ],
    ids=lambda value: f"{value.dtype}-{value.ndim}d",
)
def test_an_array_goes_there_and_back(value, serve, connect, http):
    result = connect(serve(http.echo())).predict({"x": value})["x"]
    np.testing.assert_array_equal(result, value)
    assert result.shape == value.shape
    if value.dtype.kind != "U":
        assert result.dtype == value.dtype.newbyteorder("=")
        assert result.flags.writeable
        assert result.flags.aligned


@pytest.mark.parametrize(
    "value",
    ["text", "", "ä\n", 3, -1.5, float("inf"), True, None, [1, "a", None], {"a": {"b": [1.5]}}, []],
    ids=repr,
)
def test_a_plain_value_goes_there_and_back(value, serve, connect, http):
    result = connect(serve(http.echo())).predict({"x": value})["x"]
    assert result == value
    assert type(result) is type(value)


def test_what_converts_to_an_array_is_sent_as_one(serve, connect, http):
    class ArrayLike:
        def __array__(self, dtype=None, copy=None):
            return np.arange(3, dtype=np.int16)

    result = connect(serve(http.echo())).predict({"x": ArrayLike()})["x"]
    np.testing.assert_array_equal(result, np.arange(3, dtype=np.int16))


def test_a_torch_tensor_is_sent_as_an_array(serve, connect, http):
    torch = pytest.importorskip("torch")
    tensor = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    result = connect(serve(http.echo())).predict({"x": tensor})["x"]
    np.testing.assert_array_equal(result, tensor.numpy())


def test_the_request_says_what_it_is(serve, connect, http):
    server = serve(http.echo())
    connect(server, token="key").predict({"x": np.zeros(3)})
    (request,) = server.seen
    assert request.line == "POST /predictions/seg HTTP/1.1"
    assert request.headers["accept"] == "application/octet-stream"
    assert request.headers["accept-encoding"] == "gzip"
    assert request.headers["content-type"] == "application/octet-stream"
    assert request.headers["authorization"] == "Bearer key"
    assert "cookie" not in request.headers
    assert int(request.headers["inference-header-content-length"]) % 64 == 0


def test_metadata_is_the_answer_to_an_empty_request(serve, connect, http):
    server = serve(http.echo(METADATA))
    assert connect(server).get_metadata() == METADATA
    (request,) = server.seen
    assert request.body == b""
    assert request.headers["content-length"] == "0"
    assert "content-type" not in request.headers


def test_outputs_can_be_chosen(serve, connect, http):
    server = serve(http.always(http.oip({"y": 2})))
    assert connect(server).predict({"x": 1}, outputs=iter(["y"])) == {"y": 2}
    assert server.seen[0].decode().outputs == ("y",)


def test_a_reply_without_a_chosen_output_is_refused(serve, connect, http):
    client = connect(serve(http.echo()))
    with pytest.raises(MalformedReply, match="lacks 1 of the outputs"):
        client.predict({"x": 1}, outputs=["x", "y"])


@pytest.mark.parametrize("asked", [["x"], iter(["y"]), ("y", "y")])
def test_a_reply_with_an_output_that_was_not_chosen_is_refused(asked, serve, connect, http):
    client = connect(serve(http.always(http.oip({"x": 1, "y": 2}))))
    with pytest.raises(MalformedReply, match="1 of its outputs were not asked"):
        client.predict({"x": 1}, outputs=asked)


def test_no_output_chosen_means_all(serve, connect, http):
    assert connect(serve(http.echo())).predict({"x": 1, "y": 2}, outputs=[]) == {"x": 1, "y": 2}


def test_headers_of_a_reply_are_found_in_any_case(serve, connect, http):
    answer = http.oip({"y": np.arange(3.0)})
    shouted = answer.replace(b"Inference-Header", b"iNFERENCE-hEADER")
    assert shouted != answer
    result = connect(serve(http.always(shouted))).predict({"x": 1})
    np.testing.assert_array_equal(result["y"], np.arange(3.0))


def test_a_reply_in_json_and_one_in_chunks_are_read_too(serve, connect, http):
    body = b'{"outputs": [{"name": "y", "shape": [2], "datatype": "INT64", "data": [4, 5]}]}'
    chunked = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in (body[:9], body[9:])) + b"0\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
    both = head + b"Content-Length: 3\r\n"  # chunks win (RFC 9112, 6.3)
    for answer in (http.reply(body=body), head + b"\r\n" + chunked, both + b"\r\n" + chunked):
        result = connect(serve(http.always(answer))).predict({"x": 1})
        np.testing.assert_array_equal(result["y"], [4, 5])


def test_one_connection_serves_many_calls(serve, connect, http):
    server = serve(http.echo(METADATA))
    client = connect(server)
    for _ in range(5):
        client.predict({"x": np.zeros(1000)})
        client.get_metadata()
    assert server.connections == 1


def test_an_error_leaves_the_connection_usable(serve, connect, http):
    answers = iter([http.error(422, "InvalidInput"), http.oip({"y": 1})])

    def script(peer):
        while peer.receive() is not None:
            peer.send(next(answers))

    server = serve(script)
    client = connect(server)
    with pytest.raises(InvalidInput):
        client.predict({"x": 1})
    assert client.predict({"x": 1}) == {"y": 1}
    assert server.connections == 1


def test_a_connection_that_the_server_closed_meanwhile_is_replaced(serve, connect, http):
    closed = threading.Event()

    def script(peer):
        peer.receive()
        peer.send(http.oip({"y": peer.number}))
        peer.sock.close()
        closed.set()

    server = serve(script)
    client = connect(server)
    assert client.predict({"x": 1}) == {"y": 1}
    assert closed.wait(5)
    assert client.predict({"x": 1}) == {"y": 2}


def test_threads_may_share_a_client(serve, connect, http):
    server = serve(http.echo(METADATA))
    client = connect(server)

    def call(number):
        sent = np.full(50_000, number, np.int32)
        return bool((client.predict({"x": sent})["x"] == number).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(call, range(80)))
    assert server.connections <= 8
    assert len(server.seen) == 80


def test_a_context_manager_closes_the_connections(serve, http):
    left = threading.Event()

    def script(peer):
        http.echo()(peer)
        left.set()

    server = serve(script)
    with EisenServingClient(server.url) as client:
        client.predict({"x": 1})
        assert not left.is_set()
    assert left.wait(5)


def test_no_timeout_works_too(serve, connect, http):
    assert connect(serve(http.echo()), timeout=None).predict({"x": 1}) == {"x": 1}


# --- batches that cannot be sent ----------------------------------------------------------


@pytest.mark.parametrize(
    ("batch", "outputs", "problem"),
    [
        ([1, 2], None, "expected a dict of inputs by name, got list"),
        ({1: 2}, None, "expected names that are text"),
        ({"": 2}, None, "expected names that are text"),
        ({"\ud800": 2}, None, "expected names that are text"),
        ({"x": 1}, "mask", "expected a list of names"),
        ({"x": 1}, [1], "expected a list of names"),
        ({"x": object()}, None, "x: object cannot be sent"),
        ({"x": np.array([object()])}, None, "x: arrays of object cannot be sent"),
        ({"x": np.zeros(1, "M8[s]")}, None, "x: arrays of datetime64"),
        ({"x": [float("nan")]}, None, "x: holds NaN"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_anything_is(
    batch, outputs, problem, serve, connect, http
):
    server = serve(http.echo())
    with pytest.raises(InvalidInput) as caught:
        connect(server).predict(batch, outputs=outputs)
    assert problem in caught.value.problems[0]
    assert caught.value.status is None
    assert server.connections == 0


def test_everything_that_cannot_be_sent_is_named(serve, connect, http):
    with pytest.raises(InvalidInput) as caught:
        connect(serve(http.echo())).predict({"a": object(), "b": 1, "c": {1: 2}})
    assert [text[0] for text in caught.value.problems] == ["a", "c"]


# --- validation ---------------------------------------------------------------------------


def test_validation_names_every_mismatch_and_sends_nothing_of_the_batch(serve, connect, http):
    server = serve(http.echo(METADATA))
    client = connect(server, True)
    batch = {"image": np.zeros((2, 1, 5), np.float32), "age": "old", "more": 1}
    with pytest.raises(InvalidInput) as caught:
        client.predict(batch)
    assert [text.partition(":")[0] for text in caught.value.problems] == ["image", "age", "more"]
    assert all(text in str(caught.value) for text in caught.value.problems)
    assert [request.body for request in server.seen] == [b""]


def test_validation_converts_what_loses_nothing(serve, connect, http):
    server = serve(http.echo(METADATA))
    connect(server, validate_inputs=True).predict({"image": np.zeros((2, 1, 4)), "age": 61})
    sent = server.seen[1].decode().inputs
    assert sent["image"].dtype == np.float32
    assert sent["age"] == 61


def test_the_metadata_is_fetched_once_for_validation(serve, connect, http):
    server = serve(http.echo(METADATA))
    client = connect(server, True)
    for _ in range(3):
        client.predict({"image": np.zeros((1, 1, 4), np.float32), "age": 1})
    assert sum(request.body == b"" for request in server.seen) == 1


def test_metadata_that_was_asked_for_is_not_fetched_again(serve, connect, http):
    server = serve(http.echo(METADATA))
    client = connect(server, True)
    client.get_metadata()
    client.predict({"image": np.zeros((1, 1, 4), np.float32), "age": 1})
    assert [request.body == b"" for request in server.seen] == [True, False]


@pytest.fixture
def model(serve, http):
    """Start a server with metadata, and outputs that need not be those of its metadata."""

    def start(outputs):
        declares = http.reply(200, {}, json.dumps(METADATA).encode())

        def script(peer):
            while (request := peer.receive()) is not None:
                peer.send(http.oip(outputs) if request.body else declares)

        return serve(script)

    return start


RIGHT = {"image": np.zeros((1, 1, 4), np.float32), "age": 1}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"image": 1, "age": 2, "more": 3}, "1 of its outputs were not asked for or declared"),
        ({"image": 1}, "lacks 1 of the outputs asked for or declared"),
        ({}, "lacks 2 of"),
    ],
)
def test_a_reply_with_other_outputs_than_declared_is_refused(given, problem, model, connect):
    """The metadata is asked for anew: another version of the model may run."""
    server = model(given)
    client = connect(server, True)
    for _ in range(2):
        with pytest.raises(MalformedReply, match=problem):
            client.predict(RIGHT)
    assert [request.body == b"" for request in server.seen] == [True, False, True, False]
    assert connect(server).predict(RIGHT) == given


def test_an_output_asked_for_need_not_be_declared(model, connect):
    """The server knows whether the model gives it."""
    assert connect(model({"more": 3}), True).predict(RIGHT, outputs=["more"]) == {"more": 3}


def test_a_caller_cannot_change_what_batches_are_checked_against(serve, connect, http):
    client = connect(serve(http.echo(METADATA)), True)
    client.get_metadata()["inputs"].clear()
    with pytest.raises(InvalidInput):
        client.predict({})


def test_without_validation_no_metadata_is_asked_for(serve, connect, http):
    server = serve(http.echo(METADATA))
    connect(server).predict({"anything": 1})
    assert len(server.seen) == 1
