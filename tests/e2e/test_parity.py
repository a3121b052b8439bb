"""The same archive on every engine: the same answers, byte for byte.

Status, type of the body, every header of ours and the body itself are compared, for each body at
each address that all have. What differs is an engine's own, and is listed at the end.
"""

from __future__ import annotations

import functools
import gzip
import http.client
import io
import json
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from eisen_deploy.client._shared.wire import protocol

from .engines import ENGINES

HERE = Path(__file__).resolve().parent
MIB = 2**20
ROWS = np.float32([[1, 2], [3, 4]])
OCTETS, JSON, NPY = "application/octet-stream", "application/json", "application/x-npy"
LENGTH = "Inference-Header-Content-Length"
#: Of these only the name is compared: they hold times.
TIMED = ("server-timing",)
OURS = ("eisen-model-name", "eisen-model-version", "eisen-archive-digest", *TIMED)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alike") / "zoo"
    subprocess.run([sys.executable, HERE / "pack_alike.py", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def address_of(serve_on, zoo):
    """Return where an engine answers; it is started when it is first asked for."""

    @functools.cache
    def _address(engine):
        server = serve_on(engine, zoo / "model.mar", max_body=8 * MIB, response_timeout=60)
        return server.address("model")

    return _address


@pytest.fixture(scope="module")
def answer_of_torchserve(address_of):
    """Return what the others have to answer: it is asked once."""

    @functools.cache
    def _answer(address, name):
        return comparable(exchange(address_of("torchserve"), "POST", address, *bodies()[name]))

    return _answer


def exchange(url, method, path, headers, body):
    """Return status, headers and body of an answer."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        if body is not None and not any(name == "Transfer-Encoding" for name, _ in headers):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        if body:
            connection.send(body)
        answer = connection.getresponse()
        return answer.status, {n.lower(): v for n, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def comparable(answer):
    """Return what has to be equal on every engine."""
    status, headers, body = answer
    ours = {name: "" if name in TIMED else headers[name] for name in OURS if name in headers}
    return status, headers.get("content-type"), headers.get("content-encoding"), ours, body


def saved(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def encoded(values, **more):
    body = protocol.encode_request(values, **more)
    return list(body.headers.items()), b"".join(body.buffers)


def form(parts, boundary="xyz"):
    head = '--{}\r\nContent-Disposition: form-data; name="{}"; filename="f"\r\n\r\n'
    body = b"".join(
        head.format(boundary, name).encode() + part + b"\r\n" for name, part in parts.items()
    )
    kind = f"multipart/form-data; boundary={boundary}"
    return [("Content-Type", kind)], body + f"--{boundary}--\r\n".encode()


TWICE = (
    form({"x": saved(ROWS)})[0],
    form({"x": saved(ROWS)})[1].removesuffix(b"--xyz--\r\n") + form({"x": saved(ROWS)})[1],
)


def json_body(content):
    return [("Content-Type", JSON)], content if isinstance(content, bytes) else json.dumps(
        content
    ).encode()


def with_headers(sent, *more):
    return [*sent[0], *more], sent[1]


def tensor(**changes):
    return {"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4], **changes}


def bodies():
    """Return requests by what they are: headers and body."""
    good = encoded({"x": ROWS})
    rows = {"x": ROWS.tolist()}
    text = json.dumps({"inputs": [tensor()]}).encode()
    compressed = zlib.compress(good[1])
    return {
        "nothing": ([], b""),
        "nothing as JSON": ([("Content-Type", JSON)], b""),
        "protocol": good,
        "protocol with an id": encoded({"x": ROWS}, id="seven"),
        "protocol of float64": encoded({"x": ROWS.astype(np.float64)}),
        "protocol of int64": encoded({"x": ROWS.astype(np.int64)}),
        "protocol of bool": encoded({"x": ROWS > 2}),
        "protocol of one row": encoded({"x": ROWS[:1]}),
        "protocol of no row": encoded({"x": ROWS[:0]}),
        "protocol of another width": encoded({"x": np.ones((1, 3), np.float32)}),
        "protocol of another name": encoded({"z": ROWS}),
        "protocol of two inputs": encoded({"x": ROWS, "z": ROWS}),
        "protocol of a text": encoded({"x": "hello"}),
        "protocol without its length": ([("Content-Type", OCTETS)], good[1]),
        "protocol, length too large": ([("Content-Type", OCTETS), (LENGTH, "99999")], good[1]),
        "protocol, length no number": ([("Content-Type", OCTETS), (LENGTH, "many")], good[1]),
        "protocol cut off": (good[0], good[1][:-5]),
        "protocol with a tail": (good[0], good[1] + b"tail"),
        "protocol gzipped": with_headers(
            (good[0], gzip.compress(good[1], mtime=0)), ("Content-Encoding", "gzip")
        ),
        "protocol deflated": with_headers((good[0], compressed), ("Content-Encoding", "deflate")),
        "protocol deflated, cut off": with_headers(
            (good[0], compressed[:-6]), ("Content-Encoding", "deflate")
        ),
        "protocol, claims to be gzipped": with_headers(good, ("Content-Encoding", "gzip")),
        "protocol, claims to be br": with_headers(good, ("Content-Encoding", "br")),
        "protocol, gzip wanted": with_headers(
            encoded({"x": np.zeros((4000, 2), np.float32)}), ("Accept-Encoding", "gzip")
        ),
        "protocol raises": encoded({"x": np.full((1, 2), 1e9, np.float32)}),
        "protocol of NaN": encoded({"x": np.full((1, 2), np.nan, np.float32)}),
        "protocol as JSON": json_body(text),
        "protocol as JSON, no data": json_body({"inputs": [tensor(data=None)]}),
        "protocol as JSON, wrong count": json_body({"inputs": [tensor(data=[1, 2])]}),
        "protocol as JSON, unknown type": json_body({"inputs": [tensor(datatype="FP8")]}),
        "protocol as JSON, parameters null": json_body({"inputs": [tensor()], "parameters": None}),
        "protocol as JSON, one output": json_body(
            {"inputs": [tensor()], "outputs": [{"name": "y"}]}
        ),
        "protocol as JSON, unknown output": json_body(
            {"inputs": [tensor()], "outputs": [{"name": "nope"}]}
        ),
        "protocol as JSON, no inputs": json_body({"inputs": []}),
        "lists": json_body(rows),
        "lists, charset": ([("Content-Type", f"{JSON}; charset=utf-8")], json.dumps(rows).encode()),
        "lists, other charset": (
            [("Content-Type", f"{JSON}; charset=latin-1")],
            json.dumps(rows).encode(),
        ),
        "lists, no type": ([], json.dumps(rows).encode()),
        "lists, octets wanted": with_headers(json_body(rows), ("Accept", OCTETS)),
        "lists, npy wanted": with_headers(json_body(rows), ("Accept", NPY)),
        "lists, ragged": json_body({"x": [[1, 2], [3]]}),
        "lists, texts": json_body({"x": [["a", "b"]]}),
        "lists, a name twice": json_body(b'{"x": [[1, 2]], "x": [[3, 4]]}'),
        "lists, NaN": json_body(b'{"x": [[NaN, 2]]}'),
        "lists, cut off": json_body(b'{"x": [[1, 2]'),
        "JSON array": json_body([1, 2]),
        "JSON, not UTF-8": json_body(b'{"x": "\xff"}'),
        "npy": ([("Content-Type", NPY)], saved(ROWS)),
        "npy, no type": ([], saved(ROWS)),
        "npy, JSON wanted": ([("Content-Type", NPY), ("Accept", JSON)], saved(ROWS)),
        "npy cut off": ([("Content-Type", NPY)], saved(ROWS)[:-4]),
        "npy of objects": ([("Content-Type", NPY)], saved(np.array([None, 1], object))),
        "npy, Fortran order": ([("Content-Type", NPY)], saved(np.asfortranarray(ROWS))),
        "form": form({"x": saved(ROWS)}),
        "form of another name": form({"z": saved(ROWS)}),
        "form of text": form({"x": b"hello"}),
        "form of two": form({"x": saved(ROWS), "z": saved(ROWS)}),
        "form of large": form({"x": saved(np.ones((20000, 2), np.float32))}),
        "form without a boundary": ([("Content-Type", "multipart/form-data")], b"--xyz--\r\n"),
        "another type": ([("Content-Type", "text/plain")], b"hello"),
        "a type of bytes": ([("Content-Type", "\xe4\xf6")], b"hello"),
        "octets, no type": ([], b"\x00\x01\x02"),
        "pickle": ([("Content-Type", "application/x-pickle")], b"\x80\x04."),
        "almost the limit": encoded({"x": np.ones((MIB - 100, 2), np.float32)}),
    }


ADDRESSES = (
    "/predictions/model",
    "/predictions/model/1.0",
    "/v2/models/model/infer",
)
#: Bodies that are sent to the first address only: they cost more, or say nothing of the others.
ONCE = ("almost the limit", "form of large")


def cases():
    for name in bodies():
        for address in ADDRESSES[: 1 if name in ONCE else 3]:
            yield pytest.param(address, name, id=f"{name} {address}")


@pytest.mark.parametrize(("address", "name"), list(cases()))
@pytest.mark.parametrize("engine", ["uvicorn", "ray"])
def test_every_engine_answers_alike(address_of, answer_of_torchserve, engine, address, name):
    got = exchange(address_of(engine), "POST", address, *bodies()[name])
    assert comparable(got) == answer_of_torchserve(address, name)


GOOD = encoded({"x": ROWS})
OURS_ALONE = {"uvicorn": (404, "NotFound"), "ray": (404, "NotFound")}
NO_METHOD = {"uvicorn": (405, "MethodNotAllowed"), "ray": (405, "MethodNotAllowed")}
SERVED = {"uvicorn": (200, None), "ray": (200, None)}
#: What differs, each with its reason: the request, and status and type of the answers.
DIFFERENCES = {
    "an unknown model: TorchServe has an error of its own": (
        ("POST", "/predictions/other", *GOOD),
        {"torchserve": (404, "ModelNotFoundException"), **OURS_ALONE},
    ),
    "an unknown version: likewise": (
        ("POST", "/predictions/model/9.9", *GOOD),
        {"torchserve": (404, "ModelVersionNotFoundException"), **OURS_ALONE},
    ),
    "an unknown address: likewise": (
        ("GET", "/nothing", [], None),
        {"torchserve": (404, "ResourceNotFoundException"), **OURS_ALONE},
    ),
    "another method: TorchServe predicts whatever the method is": (
        ("DELETE", "/predictions/model", *GOOD),
        {"torchserve": (200, None), **NO_METHOD},
    ),
    "another method at /ping: likewise": (
        ("POST", "/ping", [], b""),
        {"torchserve": (200, None), **NO_METHOD},
    ),
    "a version in the protocol's address: TorchServe has no such address": (
        ("POST", "/v2/models/model/versions/1.0/infer", *GOOD),
        {"torchserve": (404, "ResourceNotFoundException"), **SERVED},
    ),
    "the protocol's health: likewise": (
        ("GET", "/v2/health/ready", [], None),
        {"torchserve": (404, "ResourceNotFoundException"), **SERVED},
    ),
    "the protocol's metadata: likewise": (
        ("GET", "/v2/models/model", [], None),
        {"torchserve": (404, "ResourceNotFoundException"), **SERVED},
    ),
    "OpenAPI: TorchServe describes itself, at another address": (
        ("GET", "/openapi.json", [], None),
        {"torchserve": (404, "ResourceNotFoundException"), **SERVED},
    ),
    "two parts of a form with one name: TorchServe's parser keeps the last one": (
        ("POST", "/predictions/model", TWICE[0], TWICE[1]),
        {
            "torchserve": (200, None),
            "uvicorn": (400, "MalformedBody"),
            "ray": (400, "MalformedBody"),
        },
    ),
    "metrics: TorchServe has them on another port, Ray at each node": (
        ("GET", "/metrics", [], None),
        {
            "torchserve": (404, "ResourceNotFoundException"),
            "uvicorn": (200, None),
            "ray": (404, "NotFound"),
        },
    ),
}


@pytest.mark.parametrize("what", DIFFERENCES)
@pytest.mark.parametrize("engine", list(ENGINES))
def test_what_differs_is_known(address_of, engine, what):
    request, expected = DIFFERENCES[what]
    status, headers, body = exchange(address_of(engine), *request)
    is_error = status != 200 and headers.get("content-type", "").startswith(JSON)
    assert (status, json.loads(body)["type"] if is_error else None) == expected[engine]


@pytest.mark.parametrize("engine", list(ENGINES))
def test_large_replies_say_their_size_each_in_its_way(address_of, engine):
    large = encoded({"x": np.ones((MIB // 4, 2), np.float32)})
    status, headers, body = exchange(address_of(engine), "POST", "/predictions/model", *large)
    assert (status, len(body) > 2 * MIB) == (200, True)
    if engine == "torchserve":  # sends them in chunks
        assert headers["eisen-body-size"] == str(len(body))
    else:
        assert headers["content-length"] == str(len(body))
        assert "eisen-body-size" not in headers


def test_ray_numbers_the_requests(address_of):
    _, headers, _ = exchange(address_of("ray"), "GET", "/ping", [], None)
    assert headers["x-request-id"]
