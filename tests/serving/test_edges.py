"""What lies at the edges: odd dtypes and layouts, transforms that do not keep their promises."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from ts.context import Context, RequestProcessor

from eisen_deploy.serving.runtime.answering.bodies import npy
from eisen_deploy.serving.runtime.messages import Reply
from eisen_deploy.serving.runtime.torchserve import rows

X = [{"name": "x", "type": "ndarray", "shape": [-1, 2]}]


def test_requests_of_different_dtypes_are_not_mixed(start):
    metadata = {"inputs": X, "model_output_list": ["y"], "outputs": [{"name": "y"}]}
    worker = start(torch.nn.Identity(), metadata)
    dtypes = [np.float32, np.int16, np.float32, np.float64, np.int16]
    answers = worker.predict_all([{"x": np.ones((1, 2), dtype)} for dtype in dtypes])
    assert [answer.outputs["y"].dtype for answer in answers] == dtypes


def test_a_reversed_array_reaches_the_model(start, affine):
    worker = start(affine[0](), affine[1], lambda d: {"x": np.arange(4.0).reshape(2, 2)[::-1]})
    assert worker.predict({"x": np.ones((2, 2))}).outputs["y"].tolist() == [[5, 7], [1, 3]]


def test_floats_that_pre_processing_makes_of_integers_get_the_model_s_dtype(start, affine):
    metadata = {**affine[1], "inputs": [{"name": "x", "type": "ndarray[uint8]", "shape": [-1, 2]}]}
    worker = start(affine[0](), metadata, lambda d: {"x": d["x"] / 2.0})
    given = worker.predict({"x": np.ones((1, 2), np.uint8)}).outputs["y"]
    assert (given.dtype, given.tolist()) == (np.float32, [[2, 2]])


@pytest.mark.parametrize("value", [np.float64(1e39), np.longdouble(-1e39)])
def test_a_number_that_would_be_infinite_in_the_model_is_refused(worker, value):
    file = io.BytesIO()
    np.save(file, np.array([[1, value]]))
    answer = worker.post(bytearray(file.getvalue()), {"Content-Type": "application/x-npy"})
    assert (answer.status, answer.json["type"]) == (422, "InvalidInput")
    assert answer.json["message"] == "x: holds a number out of the range of the model's float32"


def test_integers_out_of_the_range_of_half_weights_are_refused(start):
    metadata = {"inputs": X, "model_output_list": ["y"], "outputs": [{"name": "y"}]}
    worker = start(torch.nn.Linear(2, 2).half(), metadata)
    answers = worker.predict_all([{"x": np.array([[1, n]])} for n in (60_000, 70_000)])
    assert [answer.status for answer in answers] == [200, 422]


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("dtype", [np.longdouble, ">f16", np.float64])
def test_infinity_and_long_doubles_are_taken(start, affine, dtype):
    worker = start(affine[0](), affine[1])
    file = io.BytesIO()
    np.save(file, np.array([[-np.inf, 2]], dtype))
    answer = worker.post(bytearray(file.getvalue()), {"Content-Type": "application/x-npy"})
    assert np.load(io.BytesIO(answer.body)).tolist() == [[-np.inf, 5]]


class Conjugate(torch.nn.Module):
    def forward(self, x):
        return torch.complex(x, x).conj()


def test_a_lazily_conjugated_output_is_sent(start, affine):
    given = start(Conjugate(), affine[1]).predict({"x": np.ones((1, 2), np.float32)})
    assert given.outputs["y"].tolist() == [[1 - 1j, 1 - 1j]]


def test_an_input_named_inputs_is_plain_json(start):
    metadata = {"inputs": [{"name": "inputs", "type": "json"}], "model_input_list": ["n"]}
    worker = start(torch.nn.Identity(), metadata, lambda d: {**d, "n": np.zeros(1)})
    value = [{"datatype": "not one of the protocol"}]
    answer = worker.post(
        json.dumps({"inputs": value}).encode(), {"Content-Type": "application/json"}
    )
    assert (answer.status, answer.json["inputs"]) == (200, value)


@pytest.mark.parametrize("dtype", ["M8[s]", "V4", [("a", "f4"), ("b", "f4")]])
def test_npy_of_other_than_numbers_and_strings_is_400(worker, dtype):
    file = io.BytesIO()
    np.save(file, np.zeros(2, dtype))
    answer = worker.post(file.getvalue(), {"Content-Type": "application/x-npy"})
    assert (answer.status, answer.json["type"]) == (400, "MalformedBody")


@pytest.mark.parametrize("raw_type", [bytes, bytearray])
def test_npy_arrays_are_writable_aligned_and_shared_where_they_can_be(raw_type):
    file = io.BytesIO()
    np.save(file, np.arange(6.0).reshape(2, 3))
    raw = raw_type(file.getvalue())
    array = npy.read(raw, "it")
    assert array.flags.writeable
    assert array.flags.aligned
    shares = np.shares_memory(array, np.frombuffer(raw, np.uint8))
    assert shares is (raw_type is bytearray)


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    ("pre", "post", "kind", "message"),
    [
        (
            lambda d: {"z": 1},
            None,
            "TransformFailed",
            "pre_processing gave no x, which model_input",
        ),
        (lambda d: [d], None, "TransformFailed", "pre_processing must give a dict, gave list"),
        (
            None,
            lambda d: None,
            "TransformFailed",
            "post_processing must give a dict, gave NoneType",
        ),
        (None, lambda d: {"z": 1}, "InvalidOutput", "the model and post_processing gave no y"),
        (None, lambda d: {"y": object()}, "InvalidOutput", "y: object cannot be sent"),
    ],
)
def test_transforms_that_do_not_keep_their_promise(start, affine, pre, post, kind, message):
    worker = start(affine[0](), affine[1], pre, post)
    for answer in worker.predict_all([{"x": np.ones((1, 2))}] * 2):
        assert (answer.status, answer.json["type"]) == (500, kind)
        assert message in answer.json["message"]


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("accept", ["application/x-npy", None])
def test_bools_of_other_bytes_than_0_and_1_are_sent_as_these(start, affine, accept):
    """As a model has them that takes the bytes of an image for bools."""
    raw = torch.tensor([[0, 2, 255]], dtype=torch.uint8)
    worker = start(affine[0](), affine[1], None, lambda d: {"y": raw.view(torch.bool)})
    if accept is None:
        assert worker.predict({"x": np.ones((1, 2))}).outputs["y"].tobytes() == b"\0\1\1"
        return
    file = io.BytesIO()
    np.save(file, np.ones((1, 2)))
    answer = worker.post(bytearray(file.getvalue()), {"Content-Type": accept})
    assert bytes(answer.body).endswith(b"\n\0\1\1")


def test_header_values_stay_ascii_on_one_line():
    context = Context("m", "", {}, 1, None, "0.12.0")
    context.request_processor = [RequestProcessor({})]
    reply = Reply((b"body",), 418, {"Content-Type": "text/é", "X-Name": "a\r\nSet-Cookie: b"})
    assert rows.write_reply(reply, context, 0) == b"body"
    assert context.get_response_status(0) == (418, "")
    headers = {"content-type": "text/?", "X-Name": "a Set-Cookie: b"}
    assert context.get_response_headers(0) == headers
