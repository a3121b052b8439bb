"""One client and several threads, processes and copies; replies that belong to others."""

from __future__ import annotations

import copy
import os
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from eisen_deploy.client import (
    Cancellation,
    EisenServingClient,
    InvalidInput,
    MalformedReply,
    ModelFailed,
)
from eisen_deploy.client._shared.wire import protocol


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_client_is_not_copied(how):
    client = EisenServingClient("http://user:canary@host/m?canary")
    with pytest.raises(TypeError, match="make one in each process") as caught:
        how(client)
    assert "canary" not in str(caught.value)


@pytest.mark.skipif(sys.platform != "linux", reason="the store takes no certificates of a test")
def test_threads_connect_at_once_by_the_systems_authorities(
    serve, connect, http, tls_context, certificates, monkeypatch
):
    pytest.importorskip("truststore", reason="needs Python 3.10")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "authority.pem"))
    everyone = threading.Barrier(8)

    def script(peer):
        inputs = peer.receive().decode().inputs
        everyone.wait(10)
        peer.send(http.oip(inputs))

    client = connect(serve(script, tls_context), verify="system")
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda number: client.predict({"x": number})["x"], range(8))
    assert list(map(int, found)) == list(range(8))


def test_threads_share_a_client_whatever_they_do(serve, connect, http):
    """Predictions, metadata, errors, cancelled calls and iterations, all at once."""

    def script(peer):
        while (request := peer.receive()) is not None:
            if not request.body:
                peer.send(http.reply(200, body=b'{"inputs": []}'))
                continue
            inputs = request.decode().inputs
            failed = inputs["x"][0] % 5 == 0
            peer.send(http.error(500, "ModelFailed") if failed else http.oip(inputs))

    client = connect(serve(script))

    def work(number):
        value = np.full(5000, number, np.int32)
        if number % 5:
            assert (client.predict({"x": value})["x"] == number).all()
        assert client.get_metadata() == {"inputs": []}
        many = list(client.predict_many([{"x": value}] * 2, workers=2, return_errors=True))
        assert all(isinstance(result, ModelFailed) == (number % 5 == 0) for result in many)
        with pytest.raises(InvalidInput):
            client.predict({"x": object()}, cancel=Cancellation())
        return number

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(100))) == list(range(100))


def answering_as(http, id_):
    def script(peer):
        while (request := peer.receive()) is not None:
            named = request.decode().id if id_ == "the same" else id_
            body = protocol.encode_reply({"y": 1}, model_name="m", model_version="1", id=named)
            peer.send(http.reply(200, body.headers, b"".join(body.buffers)))

    return script


def test_the_reply_to_another_request_is_refused(serve, connect, http):
    """Two patients' volumes must not be mixed up, whatever stands on the way."""
    with pytest.raises(MalformedReply, match="the answer to another request"):
        connect(serve(answering_as(http, "another"))).predict({"x": 1})


@pytest.mark.parametrize("id_", ["the same", None])
def test_a_reply_may_be_named_as_the_request_or_not_at_all(id_, serve, connect, http):
    assert connect(serve(answering_as(http, id_))).predict({"x": 1}) == {"y": 1}


def test_a_request_has_one_name_everywhere(serve, connect, http):
    server = serve(http.always(http.error(500, "ModelFailed")))
    client, names = connect(server), set()
    for _ in range(3):
        with pytest.raises(ModelFailed) as caught:
            client.predict({"x": 1})
        request = server.seen[-1]
        assert request.headers["x-request-id"] == request.decode().id == caught.value.request_id
        names.add(caught.value.request_id)
    assert len(names) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_connections_of_its_own(serve, connect, http):
    server = serve(http.echo())
    client = connect(server)
    client.predict({"x": 1})
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if client.predict({"x": 2}) == {"x": 2} else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert client.predict({"x": 3}) == {"x": 3}
    assert [request.connection for request in server.seen] == [1, 2, 1]
