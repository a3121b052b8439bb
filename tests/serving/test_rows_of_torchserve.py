"""What TorchServe hands over as a row: a body, fields of a form or of gRPC, or no prediction."""

from __future__ import annotations

import importlib
import io
import json
import sys

import numpy as np
import pytest
from ts.utils.util import PredictionException

from eisen_deploy.serving.runtime.torchserve import rows

METADATA = {
    "inputs": [{"name": "x", "type": "ndarray", "shape": [-1, 2]}, {"name": "note", "type": "str"}],
    "outputs": [{"name": "y"}, {"name": "note"}],
    "model_input_list": ["x"],
    "model_output_list": ["y"],
}


@pytest.fixture
def noting(start, affine):
    """A worker with an array and a text for inputs."""
    return start(affine[0](), METADATA)


@pytest.fixture
def envelope():
    """The class of TorchServe's envelope for KServe, imported as in a worker that is set to it."""
    before = set(sys.modules)
    rows._find_envelope.cache_clear()
    yield importlib.import_module(f"{rows._ENVELOPES}.kserve").KServeEnvelope
    rows._find_envelope.cache_clear()
    for name in set(sys.modules) - before:
        del sys.modules[name]


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


ONES = npy(np.ones((1, 2), np.float32))


@pytest.mark.parametrize("key", ["x", "body", "data"])
def test_a_call_by_grpc_may_name_its_one_input_or_a_body(worker, key):
    answer = worker.post({key: ONES})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/x-npy"
    np.testing.assert_array_equal(np.load(io.BytesIO(answer.body)), [[3, 3]])


def test_a_call_by_grpc_may_have_several_inputs(noting):
    answer = noting.post({"x": ONES, "note": b"left"})
    assert answer.status == 200
    assert answer.json == {"y": [[3, 3]], "note": "left"}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"X": ONES}, "X: is not an input of the model"),
        ({"body": ONES, "x": ONES}, "body: is not an input of the model"),
        ({"data": ONES, "body": ONES}, "data: is not an input of the model"),
    ],
)
def test_fields_that_are_no_inputs_are_refused_and_never_left_out(worker, row, problem):
    with pytest.raises(PredictionException, match=problem) as caught:
        worker.post(row)
    assert caught.value.error_code == 422
    for answer in worker.post_all([({}, row), ({}, row)]):  # what is raised answers all of them
        assert answer.status == 422
        assert problem in answer.json["message"]


def test_a_call_by_grpc_with_a_field_that_is_no_array_is_refused(worker):
    with pytest.raises(PredictionException, match=r"part 'x': expected a \.npy file : 400"):
        worker.post({"x": b"not an array"})


@pytest.mark.parametrize("value", ["True", "true", "TRUE"])
def test_a_call_for_an_explanation_gets_no_prediction(worker, encode_oip, value):
    headers, body = encode_oip({"x": np.ones((1, 2))})
    answer = worker.post(body, {**headers, "explain": value})
    assert (answer.status, answer.json["type"]) == (501, "NotSupported")
    assert "send the request to /predictions/" in answer.json["message"]


def test_a_call_for_an_explanation_without_a_body_gets_no_metadata(worker):
    assert worker.post(b"", {"explain": "True"}).status == 501


def test_the_others_of_a_batch_get_their_predictions(worker, encode_oip):
    request = encode_oip({"x": np.ones((1, 2))})
    explained = ({**request[0], "explain": "True"}, request[1])
    answers = worker.post_all([request, explained, request])
    assert [answer.status for answer in answers] == [200, 501, 200]


def test_that_something_is_not_to_be_explained_is_a_prediction(worker, encode_oip):
    headers, body = encode_oip({"x": np.ones((1, 2))})
    assert worker.post(body, {**headers, "explain": "False"}).status == 200


@pytest.mark.parametrize("body", [b'{"instances": [[1, 2]]}', b'{"x": [[1, 2]]}', b"\x93NUMPY"])
def test_a_server_set_to_an_envelope_answers_with_the_reason(worker, envelope, body):
    around = envelope(lambda rows, _: worker.post_all([({}, row) for row in rows]))
    handle = around.handle  # TorchServe takes it before the archive is loaded
    rows.prepare_worker()
    for answer in handle([{"body": bytearray(body)}] * 2, worker.context):
        assert (answer.status, answer.json["type"]) == (501, "NotSupported")
        assert "into the envelope kserve" in answer.json["message"]
        assert "TS_SERVICE_ENVELOPE" in json.dumps(answer.json["problems"])
