"""What is returned over the wire: right answers, honest errors, the same bytes."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier

import numpy as np
import pytest
import requests

from eisen_deploy.client import EisenServingClient, InvalidInput
from eisen_deploy.client._shared.wire import protocol

from .engines import FAILURES

MIB = 2**20


@pytest.fixture(scope="module")
def server(engine, serve_on, model_zoo):
    archives = [model_zoo / f"{name}.mar" for name in ("batched", "echo")]
    return serve_on(engine, *archives, max_body=80 * MIB)


@pytest.fixture(scope="module")
def own_server(engine, serve_on, model_zoo):
    return serve_on(engine, model_zoo / "doubling_handler.mar", max_body=20 * MIB)


@pytest.fixture
def client_of(server):
    clients = []

    def _client(model, **options):
        clients.append(EisenServingClient(server.url(model), **options))
        return clients[-1]

    yield _client
    for client in clients:
        client.close()


def post_together(server, requests_):
    """Send requests at one moment, so that the server makes one batch of them."""
    gate = Barrier(len(requests_))

    def _post(request):
        headers, body = request
        gate.wait()
        return requests.post(server.url("batched"), data=body, headers=headers, timeout=60)

    with ThreadPoolExecutor(len(requests_)) as pool:
        return list(pool.map(_post, requests_))


def oip(array):
    body = protocol.encode_request({"x": array})
    return body.headers, b"".join(body.buffers)


def outputs(answer):
    size = int(answer.headers[protocol.LENGTH_HEADER])
    return protocol.decode_reply(bytearray(answer.content), size).outputs


def test_in_a_batch_of_eight_each_gets_its_own_answer(server):
    good = [np.full((rows, 2), value, np.float32) for value, rows in enumerate([1, 2, 1, 3, 1])]
    raises = np.full((1, 2), 3e6, np.float32)
    batch = [
        *map(oip, good),
        ({"Content-Type": "application/json"}, b'{"x": [[1, 2'),
        oip(np.ones((1, 3), np.float32)),
        oip(raises),
    ]
    (before,) = server.pids("batched")
    answers = post_together(server, batch)
    assert [answer.status_code for answer in answers] == [200] * 5 + [400, 422, 500]
    assert all('batch;desc="8"' in answer.headers["Server-Timing"] for answer in answers)
    for array, answer in zip(good, answers):
        np.testing.assert_array_equal(outputs(answer)["y"], 2 * array + 1)
    bodies = [answer.json() for answer in answers[5:]]
    assert [body["type"] for body in bodies] == ["MalformedBody", "InvalidInput", "ModelFailed"]
    assert "the body is not JSON" in bodies[0]["message"]
    assert "x: expected shape [-1, 2], got [1, 3]" in bodies[1]["message"]
    assert "inference raised ValueError" in bodies[2]["message"]
    pids = {int(outputs(answer)["pid"][0]) for answer in answers[:5]}
    assert pids == {before} == set(server.pids("batched"))


OCTET = "application/octet-stream"
JSON = "application/json"
HOSTILE = [
    (400, OCTET, b"\x00\xff", {}),
    *((400, OCTET, b"{}", {protocol.LENGTH_HEADER: n}) for n in ("x", "-1", "0", "3", str(2**63))),
    (400, JSON, b"[" * 100_000, {}),
    (400, JSON, b'{"x": [[1e400, 1]]}', {}),
    (400, JSON, b'{"x": ' + b"9" * 5000 + b"}", {}),
    (400, JSON, b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1], "data": []}]}', {}),
    (400, OCTET, b"not gzip", {"Content-Encoding": "gzip"}),
    (400, "application/x-npy", b"\x93NUMPY\x01\x00\xff\xff{", {}),
    (400, "multipart/form-data", b"no boundary", {}),
    (413, JSON, b'{"x": "' + b"a" * 9 * MIB + b'"}', {}),
    (415, "text/plain; charset=\u00e9", "caf\u00e9".encode("latin-1"), {}),
    (415, "application/x-python-pickle", b"\x80\x04N.", {}),
    (415, JSON, b"{}", {"Content-Encoding": "br"}),
    (
        422,
        JSON,
        '{"\\r\\nX-Evil: 1": 1, "\u20ac": 2, "x": [[1, 2]]}'.encode(),
        {"X-Name": "\u00e9"},
    ),
]


def test_a_volume_of_64_mib_goes_there_and_back_bit_for_bit(client_of):
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 2**32, 16 * MIB, dtype=np.uint32)
    volume = raw.view(np.float32).reshape(1, 256, 256, 256)  # NaNs and subnormals among them
    assert volume.nbytes == 64 * MIB
    back = client_of("echo", timeout=120).predict({"volume": volume})["volume"]
    assert (back.dtype, back.shape) == (volume.dtype, volume.shape)
    assert np.array_equal(back.reshape(-1).view(np.uint32), raw)


@pytest.mark.parametrize("dtype", ["<i2", ">i2", "u1", "f8", "f2", "?"])
def test_dtypes_and_layouts_survive(client_of, dtype):
    volume = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).astype(dtype)[:, ::-1].T
    back = client_of("echo", validate_inputs=True).predict({"volume": volume})["volume"]
    assert back.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(back, volume)


def test_the_model_and_its_version_have_addresses_of_their_own(client_of):
    for path in ("echo", "echo/2.1"):
        assert client_of(path).get_metadata()["inputs"][0]["name"] == "volume"


def test_a_handler_that_is_torchserve_s_answers_there_in_its_own_way(serve, model_zoo):
    server = serve(model_zoo, ["plain_handler.mar"], {}, ready=False)
    url = f"{server.inference_url}/predictions/plain_handler"
    headers = {"Content-Type": "application/octet-stream"}
    deadline = time.monotonic() + 60
    status = None
    while status != 200 and time.monotonic() < deadline:
        headers["Authorization"] = f"Bearer {server.key()}"
        with suppress(requests.RequestException):
            answer = requests.post(url, data=b"[-1, 2]", headers=headers, timeout=5)
            status = answer.status_code
        time.sleep(0.2)
    assert answer.json() == [0, 2]


def test_a_handler_that_is_torchserve_s_is_refused_on_uvicorn(serve_on, model_zoo):
    with pytest.raises(FAILURES, match=r"plain_handler.py is TorchServe.s"):
        serve_on("uvicorn", model_zoo / "plain_handler.mar")


def test_headers_tell_what_answered(server):
    answer = requests.post(server.url("echo"), timeout=60)
    assert answer.headers["Eisen-Model-Name"] == "echo"
    assert answer.headers["Eisen-Model-Version"] == "2.1"
    assert answer.headers["Eisen-Archive-Digest"].startswith("sha-256=")


# --- of a server of their own: on Ray it takes the place of the other one ---


def test_hostile_bodies_are_refused_and_the_worker_lives(own_server):
    url = own_server.url("doubling_handler")
    client = EisenServingClient(url)
    before = client.predict({"x": np.ones((1, 2), np.float32)})["pid"]
    for status, media, body, more in HOSTILE:
        headers = {"Content-Type": media, **more}
        latin = {name: value.encode("latin-1") for name, value in headers.items()}
        answer = requests.post(url, data=body, headers=latin, timeout=30)
        assert (answer.status_code, answer.json()["code"]) == (status, status), (media, body[:40])
        assert "X-Evil" not in answer.headers
    assert client.predict({"x": np.ones((1, 2), np.float32)})["pid"] == before
    client.close()


def test_a_users_own_handler_uses_transforms_and_metadata(own_server):
    with EisenServingClient(own_server.url("doubling_handler")) as client:
        given = client.predict({"x": np.ones((1, 2), np.float32)})
        assert given["y"].tolist() == [[6, 6]]
        assert given["pid"] > 0
        with pytest.raises(InvalidInput):
            client.predict({"x": np.ones(2)})
