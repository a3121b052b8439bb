"""Every body format that the endpoint takes, and every one that it refuses."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
import zlib

import numpy as np
import pytest

JSON = {"Content-Type": "application/json"}
NPY = {"Content-Type": "application/x-npy"}
OCTET = {"Content-Type": "application/octet-stream"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}


def npy(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return bytearray(file.getvalue())


def from_npy(raw):
    return np.load(io.BytesIO(raw), allow_pickle=False)


def test_empty_body_answers_the_metadata_whatever_its_type(worker, affine):
    for headers in ({}, JSON, OCTET, {"Content-Type": "text/plain"}):
        answer = worker.post(b"", headers)
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert answer.json == affine[1]
    # TorchServe gives an empty form, which is what curl -d '' and urllib send, as a row of nothing.
    empty_form = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "0"}
    assert worker.post({}, empty_form).json == affine[1]


def test_oip_binary(worker, encode_oip):
    headers, body = encode_oip({"x": np.float32([[1, 2]])}, id="q7")
    answer = worker.post(body, headers)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/octet-stream"
    np.testing.assert_array_equal(answer.outputs["y"], np.float32([[3, 5]]))
    assert b'"id": "q7"' in answer.body
    assert b'"model_name": "model"' in answer.body


def test_oip_header_names_are_read_without_case(worker, encode_oip):
    headers, body = encode_oip({"x": np.float32([[1, 2]])})
    shouted = {name.upper(): value for name, value in headers.items()}
    assert worker.post(body, shouted).status == 200


def test_oip_json(worker):
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    answer = worker.post(json.dumps({"inputs": [tensor]}).encode(), JSON)
    assert answer.status == 200
    assert answer.json["outputs"] == [
        {"name": "y", "shape": [1, 2], "datatype": "FP32", "data": [3.0, 5.0]}
    ]


def test_oip_json_may_ask_for_binary_outputs(worker):
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    request = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    answer = worker.post(json.dumps(request).encode(), JSON)
    assert "Inference-Header-Content-Length" in answer.headers
    np.testing.assert_array_equal(answer.outputs["y"], np.float32([[3, 5]]))


def test_oip_asks_for_an_output_that_is_not_there(worker, encode_oip):
    headers, body = encode_oip({"x": np.float32([[1, 2]])}, outputs=["z"])
    answer = worker.post(body, headers)
    assert (answer.status, answer.json["type"]) == (422, "InvalidInput")
    assert "z: is not an output of the model, which gives y" in answer.json["message"]


@pytest.mark.parametrize(
    "headers",
    [
        JSON,
        {},
        {"Content-Type": "application/json; charset=UTF-8"},
        {"Content-Type": 'Application/JSON; charset="utf-8"; profile=x'},
    ],
)
def test_plain_json_answers_the_same_shape_of_json(worker, headers):
    answer = worker.post(b'{"x": [[1, 2.5], [3, 4]]}', headers)
    assert answer.status == 200
    assert answer.json == {"y": [[3.0, 6.0], [7.0, 9.0]]}


def test_npy_answers_npy(worker):
    answer = worker.post(npy(np.array([[1, 2]])), NPY)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/x-npy")
    np.testing.assert_array_equal(from_npy(answer.body), np.float32([[3, 5]]))


@pytest.mark.parametrize(
    "array",
    [np.asfortranarray([[1.0, 2], [3, 4]]), np.array([[1, 2]], ">i2"), np.empty((0, 2))],
    ids=["fortran", "big-endian", "empty"],
)
def test_npy_of_any_layout(worker, array):
    answer = worker.post(npy(array), NPY)
    np.testing.assert_array_equal(from_npy(answer.body), np.float32(array) * 2 + 1)


def test_accept_chooses_the_form_of_the_reply(worker):
    body = npy(np.array([[1, 2]]))
    assert worker.post(body, {**NPY, "Accept": "application/json"}).json == {"y": [[3.0, 5.0]]}
    assert worker.post(body, {**NPY, "Accept": "Application/JSON"}).json == {"y": [[3.0, 5.0]]}
    answer = worker.post(body, {**NPY, "Accept": "application/octet-stream"})
    np.testing.assert_array_equal(answer.outputs["y"], np.float32([[3, 5]]))


def test_multipart_has_a_part_for_each_input(start, affine):
    metadata = {
        "inputs": [
            {"name": "x", "type": "ndarray", "shape": [-1, 2]},
            {"name": "note", "type": "str", "shape": []},
            {"name": "options", "type": "json", "shape": []},
        ],
        "model_input_list": ["x"],
        "model_output_list": ["y"],
    }
    worker = start(affine[0](), metadata)
    row = {"x": npy(np.ones((1, 2))), "note": bytearray(b"h\xc3\xa9"), "options": b'{"k": [1]}'}
    answer = worker.post(row, MULTIPART)
    assert answer.json == {
        "x": [[1.0, 1.0]],
        "note": "hé",
        "options": {"k": [1]},
        "y": [[3.0, 3.0]],
    }


def test_compressed_requests(worker):
    body = b'{"x": [[1, 2]]}'
    for coding, packed in (("gzip", gzip.compress(body)), ("deflate", zlib.compress(body))):
        assert worker.post(packed, {**JSON, "Content-Encoding": coding}).json == {"y": [[3, 5]]}


def test_gzip_bomb_is_413_and_stays_small(worker, monkeypatch):
    from eisen_deploy.serving.runtime.answering.bodies import decode

    monkeypatch.setattr(decode, "MAX_INFLATED", 2**20)
    bomb = gzip.compress(bytes(200 * 2**20))
    tracemalloc.start()
    answer = worker.post(bomb, {**OCTET, "Content-Encoding": "gzip"})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (answer.status, answer.json["type"]) == (413, "BodyTooLarge")
    assert peak < 8 * 2**20


OBJECT_NPY = npy(np.array([{}]), allow_pickle=True)
HUGE_HEADER_NPY = b"\x93NUMPY\x02\x00" + (2**31).to_bytes(4, "little") + b"{" * 100
CLAIMS_MUCH = npy(np.zeros((1, 2))).replace(
    b"(1, 2), }" + b" " * 20, b"(99999999999, 2), }" + b" " * 10
)


@pytest.mark.quick_cases(15)
@pytest.mark.parametrize(
    ("headers", "body", "status", "reason"),
    [
        pytest.param(OCTET, b"\x00\x01", 400, "not UTF-8|not JSON", id="row-1-no-length-header"),
        *(
            pytest.param(
                {**OCTET, "Inference-Header-Content-Length": text},
                b'{"inputs": []}',
                400,
                "must be a number from 1 to the size of the body",
                id=f"row-{row}-length-{text}",
            )
            for row, text in enumerate(["abc", "-1", "0", "15", str(2**63)], start=2)
        ),
        pytest.param(
            {**JSON, "Content-Encoding": "br"}, b"x", 415, "Encoding", id="row-55-unknown"
        ),
        pytest.param(
            {**JSON, "Content-Encoding": "gzip, gzip"}, b"x", 415, "once", id="row-55-doubled"
        ),
        pytest.param(
            {**JSON, "Content-Encoding": "gzip"}, b"{}", 400, "not gzip", id="row-56-not-gzip"
        ),
        pytest.param(
            {**JSON, "Content-Encoding": "gzip"},
            gzip.compress(b"{}")[:-4],
            400,
            "cut off",
            id="row-56-truncated-gzip",
        ),
        pytest.param(
            {"Content-Type": "multipart/form-data"}, b"xx", 400, "boundary", id="row-57-no-boundary"
        ),
        pytest.param(
            {"Content-Type": "application/json; charset=utf-16"},
            b"{}",
            415,
            "UTF-8",
            id="row-58-utf-16",
        ),
        pytest.param({"Content-Type": "text/plain"}, b"hello", 415, "send app", id="row-59-text"),
        pytest.param({}, b"hello", 415, "no Content-Type: send", id="row-59-no-type"),
        pytest.param(
            {"Content-Type": "application/x-www-form-urlencoded"},
            {"a": b"b"},
            415,
            "x-www-form-urlencoded: send",
            id="row-59-form-fields",
        ),
        pytest.param(
            {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "7"},
            {},
            415,
            "x-www-form-urlencoded: send",
            id="row-59-curl-d-without-a-type",
        ),
        pytest.param(
            {"Content-Type": "application/x-python-pickle"}, b"\x80", 415, "send", id="no-pickle"
        ),
        pytest.param(JSON, b'{"x": [[1, 2], [3]]}', 422, "ragged", id="row-60-ragged"),
        pytest.param(JSON, b'{"x": [[1, "2"]]}', 422, "holds a string", id="row-61-mixed"),
        pytest.param(
            JSON, b'{"x": [[9007199254740993, 0.5]]}', 422, "hold exactly", id="row-62-above-2-53"
        ),
        pytest.param(JSON, b'{"x": "hello"}', 422, "got str", id="row-63-string"),
        pytest.param(JSON, b'{"x": null}', 422, "got NoneType", id="row-64-null"),
        pytest.param(JSON, b"{}", 422, "x: is missing", id="row-65-empty-object"),
        pytest.param(JSON, b'{"x": [[NaN, 1]]}', 400, "NaN", id="row-14-nan"),
        pytest.param(JSON, b'{"x": [], "x": []}', 400, "twice", id="row-16-duplicate-keys"),
        pytest.param(JSON, b"[1]", 400, "must be a JSON object", id="row-10-not-an-object"),
        pytest.param(NPY, OBJECT_NPY, 400, "numbers or strings", id="row-67-object-dtype"),
        pytest.param(NPY, b"\x80\x04N.", 400, "not a .npy", id="row-68-pickle"),
        pytest.param(NPY, HUGE_HEADER_NPY, 400, "not a .npy", id="row-69-header-of-2-gb"),
        pytest.param(NPY, npy(np.ones((1, 2)))[:-1], 400, "got 15", id="row-70-truncated"),
        pytest.param(NPY, CLAIMS_MUCH, 400, "takes 1599999999984 bytes", id="row-70-claims-1-tb"),
        pytest.param(MULTIPART, {"x": b"text"}, 400, "expected a .npy", id="part-is-no-npy"),
        pytest.param(NPY, npy(np.ones((1, 3))), 422, r"expected shape \[-1, 2\]", id="shape"),
    ],
)
def test_refused(worker, headers, body, status, reason):
    import re

    answer = worker.post(body, headers)
    assert answer.status == status, answer.body
    assert answer.json["code"] == status
    assert answer.json["error"] == answer.json["message"]
    assert re.search(reason, answer.json["message"]), answer.json["message"]


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize("cut", range(0, 140, 7))
def test_a_npy_part_cut_anywhere_is_400(worker, cut):
    assert worker.post(npy(np.ones((1, 2)))[: cut + 1], NPY).status == 400


def test_json_output_with_nan_says_how_to_get_it(start, affine):
    nan = {**affine[1], "outputs": [{"name": "bad"}]}
    worker = start(affine[0](), nan, None, lambda d: {"bad": np.array([np.nan])})
    answer = worker.post(b'{"x": [[1, 2]]}', JSON)
    assert (answer.status, answer.json["type"]) == (500, "InvalidOutput")
    assert "Accept: application/octet-stream" in answer.json["message"]
    binary = worker.post(b'{"x": [[1, 2]]}', {**JSON, "Accept": "application/octet-stream"})
    assert np.isnan(binary.outputs["bad"]).all()


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("bad", ["\ud800", ["a", {"\udfff": 1}]])
def test_json_output_with_half_of_a_surrogate_pair_is_refused(start, affine, bad):
    declared = {**affine[1], "outputs": [{"name": "text"}]}
    worker = start(affine[0](), declared, None, lambda d: {"text": bad})
    answer = worker.post(b'{"x": [[1, 2]]}', JSON)
    assert (answer.status, answer.json["type"]) == (500, "InvalidOutput")
    assert "half of a surrogate pair" in answer.json["message"]


def test_json_output_of_any_script_is_not_escaped(start, affine):
    declared = {**affine[1], "outputs": [{"name": "text"}]}
    worker = start(affine[0](), declared, None, lambda d: {"text": "Lunge \u2013 \U0001fac1"})
    assert worker.post(b'{"x": [[1, 2]]}', JSON).json == {"text": "Lunge \u2013 \U0001fac1"}


def test_every_answer_names_model_version_digest_and_times(worker):
    for answer in (worker.post(b""), worker.post(b'{"x": [[1, 2]]}'), worker.post(b"nonsense")):
        assert answer.headers["Eisen-Model-Name"] == "model"
        assert answer.headers["Eisen-Model-Version"] == "1.0"
        assert len(answer.headers["Eisen-Archive-Digest"]) == len("sha-256=") + 64
        assert "decode;dur=" in answer.headers["Server-Timing"]
