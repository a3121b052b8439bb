"""Memory between a received body and the model, and between its output and the reply."""

from __future__ import annotations

import io
import sys
import warnings

import numpy as np
import pytest
import torch

from eisen_deploy.serving.runtime import buffers
from eisen_deploy.serving.runtime._shared.model.metadata import Metadata
from eisen_deploy.serving.runtime.answering import batching
from eisen_deploy.serving.runtime.answering.bodies import npy
from eisen_deploy.serving.runtime.answering.bodies.decode import Call, decode
from eisen_deploy.serving.runtime.answering.bodies.encode import encode
from eisen_deploy.serving.runtime.errors import InvalidOutput
from eisen_deploy.serving.runtime.messages import Request
from eisen_deploy.serving.runtime.torchserve import entry, frames

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ResourceWarning)  # it leaves its version.txt open
    import ts.service
    from ts.context import RequestProcessor
    from ts.protocol import otf_message_handler as codec


class Watched(torch.nn.Module):
    """Returns a new tensor and the one it got; remembers both."""

    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(2.0))
        self.calls = []

    def forward(self, x):
        y = x + 1
        self.calls.append((x, y))
        return y, x


METADATA = {
    "inputs": [{"name": "x", "type": "ndarray", "shape": [-1, 2]}],
    "outputs": [
        {"name": "y", "type": "ndarray", "shape": [-1, 2]},
        {"name": "z", "type": "ndarray", "shape": [-1, 2]},
    ],
    "model_input_list": ["x"],
    "model_output_list": ["y", "z"],
    "custom": {},
}


@pytest.fixture
def served(start_proven, monkeypatch):
    """A worker into which the frames are installed, and the module that it runs."""
    monkeypatch.setattr(sys.modules["__main__"], "retrieve_msg", codec.retrieve_msg, raising=False)
    monkeypatch.setattr(codec, "_retrieve_buffer", codec._retrieve_buffer)
    original = ts.service.create_predict_response
    monkeypatch.setattr(ts.service, "create_predict_response", original)
    worker = start_proven(Watched(), METADATA, sample={"x": np.ones((1, 2), np.float32)})
    assert frames.is_installed()
    module = worker.handler.archive.model.module
    module.calls.clear()
    return worker, module


def aligned(body):
    """Return a body in memory that begins as malloc's does."""
    received = buffers.make_unfilled(len(body))
    received[:] = body
    return received


def answer(worker, requests):
    worker.context.request_processor = [RequestProcessor(dict(headers)) for headers, _ in requests]
    return entry.handle([{"body": body} for _, body in requests], worker.context)


def bytes_of(buffer):
    return np.frombuffer(buffer, np.uint8)


def test_one_request_is_not_copied_on_its_way_to_the_model_and_back(served, encode_oip):
    worker, module = served
    headers, body = encode_oip({"x": np.ones((20_000, 2), np.float32)})
    body = aligned(body)
    (parts,) = answer(worker, [(headers, body)])
    ((x, y),) = module.calls
    assert np.shares_memory(x.numpy(), bytes_of(body))
    _, first, second = map(bytes_of, parts.buffers)
    assert np.shares_memory(first, y.numpy())
    assert np.shares_memory(second, bytes_of(body))


def test_a_batch_is_copied_once_and_each_reply_has_memory_of_its_own(served, encode_oip):
    worker, module = served
    sent = [np.full((rows, 2), rows, np.float32) for rows in (1, 3, 2)]
    replies = answer(worker, [encode_oip({"x": x}) for x in sent])
    ((x, y),) = module.calls
    assert x.shape == (6, 2)
    for given, parts in zip(sent, replies, strict=True):
        _, first, second = map(bytes_of, parts.buffers)
        for own in (first, second):
            assert not np.shares_memory(own, y.numpy())
            assert not np.shares_memory(own, x.numpy())
        np.testing.assert_array_equal(first.view(np.float32).reshape(-1, 2), given + 1)


def test_a_single_request_is_not_concatenated(served, monkeypatch):
    worker, _ = served
    batch = {"x": np.ones((3, 2), np.float32)}
    monkeypatch.setattr(torch, "cat", None)
    assert batching.infer_together(worker.handler, {0: batch}) == {}
    mixed = {0: batch, 1: {"x": np.ones((3, 2, 1), np.float32)}}
    assert batching.infer_together(worker.handler, mixed) == {}


def test_a_dtype_that_the_model_does_not_have_is_cast_once(served, encode_oip):
    worker, module = served
    headers, body = encode_oip({"x": np.ones((5, 2), np.float64)})
    answer(worker, [(headers, aligned(body))])
    ((x, _),) = module.calls
    assert x.dtype == torch.float32


class Untouchable:
    """An output that must not be read."""

    def __array__(self, *_args, **_options):
        raise AssertionError("read")


def test_outputs_that_a_call_does_not_ask_for_are_left_alone(served):
    worker, _ = served
    outputs = {"y": np.ones((2, 2), np.float32), "z": Untouchable()}
    reply = encode(outputs, Call(outputs=("y",)), worker.handler.archive)
    assert len(reply.buffers) == 2
    assert np.shares_memory(bytes_of(reply.buffers[1]), outputs["y"])
    for form in ("npy", "json"):
        assert encode(outputs, Call(form=form, outputs=("y",)), worker.handler.archive).size
    with pytest.raises(InvalidOutput, match="z: Untouchable"):
        encode(outputs, Call(), worker.handler.archive)


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_as_npy_is_sent_from_where_it_lies(served, order):
    array = np.asarray(np.arange(6, dtype=np.float32).reshape(2, 3), order=order)
    reply = encode({"y": array}, Call(form="npy"), served[0].handler.archive)
    assert np.shares_memory(bytes_of(reply.buffers[1]), array)


@pytest.mark.parametrize(
    "array",
    [
        np.array(2.5),
        np.zeros((0, 3), np.int16),
        np.array(["", ""]),
        np.array(["a", "bcd"]),
        np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2)[:, ::-1],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([True, False]),
        np.array([1 + 2j], np.complex64),
        np.arange(3, dtype=">f4"),
    ],
    ids=lambda array: f"{array.dtype.str}-{array.shape}",
)
def test_npy_files_are_those_that_numpy_writes(array):
    file = io.BytesIO()
    np.save(file, array)
    assert b"".join(npy.write(array)) == file.getvalue()


def test_objects_have_no_npy_form():
    with pytest.raises(InvalidOutput, match="object"):
        npy.write(np.array([None]))


def test_a_npy_body_reaches_the_model_as_a_view():
    array = np.ones((4, 2), np.float32)
    file = io.BytesIO()
    np.save(file, array)
    body = aligned(file.getvalue())
    call = decode(Request({"content-type": "application/x-npy"}, body), Metadata.parse(METADATA))
    assert np.shares_memory(call.inputs["x"], bytes_of(body))
