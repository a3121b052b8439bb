"""``EisenServingHandler`` called directly, as its documentation shows."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from eisen_deploy.serving import EisenServingHandler, InvalidInput
from eisen_deploy.serving.runtime._shared.wire import protocol
from eisen_deploy.serving.runtime.errors import LoadFailed, ModelFailed


def context(folder: Path) -> SimpleNamespace:
    return SimpleNamespace(system_properties={"model_dir": str(folder), "gpu_id": None})


@pytest.fixture
def make(unpack):
    def _make(*args, **options):
        handler = EisenServingHandler()
        handler.initialize(context(unpack(*args, **options)))
        return handler

    return _make


@pytest.fixture
def handler(make, affine):
    return make(
        affine[0](), affine[1], lambda d: {**d, "seen": True}, lambda d: {**d, "done": True}
    )


def test_get_metadata_is_one_json_text(handler, affine):
    (text,) = handler.get_metadata()
    assert json.loads(text) == affine[1]


def test_the_three_stages(handler):
    batch = {"x": np.ones((1, 2), np.float32)}
    prepared = handler.pre_process(batch)
    assert prepared == {**batch, "seen": True}
    inferred = handler.inference(prepared)
    assert list(inferred) == ["x", "seen", "y"]
    assert isinstance(inferred["y"], np.ndarray)
    np.testing.assert_array_equal(inferred["y"], [[3, 3]])
    assert handler.post_process(inferred)["done"] is True


def test_handle_answers_one_request_with_one_body(handler):
    (body,) = handler.handle({"x": [[1, 2]]})
    size = int(body.headers[protocol.LENGTH_HEADER])
    reply = protocol.decode_reply(body, size)
    assert reply.outputs["y"].tolist() == [[3, 5]]
    with pytest.raises(InvalidInput, match="x: is missing"):
        handler.handle({})


def test_an_uninitialised_handler_says_to_call_initialize():
    with pytest.raises(LoadFailed, match=r"call initialize\(ctx\) first"):
        EisenServingHandler().get_metadata()


def test_an_archive_s_handler_has_the_same_public_names():
    from eisen_deploy import serving
    from eisen_deploy.serving import runtime

    assert runtime.__all__ == serving.__all__
    assert all(getattr(runtime, name) is getattr(serving, name) for name in serving.__all__)


class Echo(torch.nn.Module):
    """Gives what it gets, and keeps it."""

    def __init__(self, dtype=torch.float32, result=lambda *args: args):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1, dtype=dtype))
        self.result = result
        self.training_seen = None
        self.grad_seen = None

    def forward(self, *args):
        self.training_seen = self.training
        self.grad_seen = torch.is_grad_enabled()
        self.arguments = args
        return self.result(*args)


def described(type_, **more):
    return {"inputs": [{"name": "x", "type": type_, **more}], "model_output_list": ["y"]}


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize(
    ("declared", "given", "model", "expected"),
    [
        ("ndarray", np.float64, torch.float32, torch.float32),
        ("ndarray", np.float32, torch.float64, torch.float64),
        ("ndarray", np.float32, torch.bfloat16, torch.bfloat16),
        ("ndarray", np.uint8, torch.float32, torch.float32),
        ("ndarray", np.int64, torch.float32, torch.float32),
        ("ndarray", np.bool_, torch.float32, torch.float32),
        ("ndarray", np.complex64, torch.float32, torch.complex64),
        ("np.ndarray", np.uint16, torch.float32, torch.float32),
        ("ndarray[int64]", np.int64, torch.float32, torch.int64),
        ("ndarray[int64]", np.int32, torch.float32, torch.int64),
        ("ndarray[float64]", np.float32, torch.float32, torch.float64),
        ("ndarray[uint8]", np.uint8, torch.float32, torch.uint8),
        ("tensor?", np.int64, torch.float32, torch.int64),
        ("tensor?", np.float64, torch.float32, torch.float32),
    ],
)
def test_arrays_reach_the_model_in_the_dtype_they_should(make, declared, given, model, expected):
    handler = make(Echo(model, lambda x: x.to(torch.complex64).abs()), described(declared))
    data = handler.conform({"x": np.ones((1, 2), given)})
    handler.inference(data)
    assert handler.archive.model.module.arguments[0].dtype is expected


def test_a_model_without_floats_takes_arrays_as_they_are(make):
    handler = make(torch.nn.Identity(), described("ndarray"))
    for dtype in (np.float64, np.int16, np.uint8, np.bool_):
        result = handler.inference({"x": np.ones((1, 2), dtype)})
        assert result["y"].dtype == dtype


def test_the_model_runs_in_evaluation_mode_and_without_gradients(make):
    module = Echo(result=lambda x: x)
    module.train()
    handler = make(module, described("ndarray"))
    handler.inference({"x": np.ones((1, 2))})
    seen = handler.archive.model.module
    assert (seen.training_seen, seen.grad_seen) == (False, False)
    assert module.training


def test_arguments_go_in_the_order_of_model_input_list(make):
    metadata = {"model_input_list": ["b", "a", "text"], "model_output_list": ["y"]}
    handler = make(Echo(result=lambda b, a, text: a), metadata, lambda d: {**d, "b": np.zeros(3)})
    handler.inference(handler.pre_process({"a": np.ones(2), "text": "as it is"}))
    b, a, text = handler.archive.model.module.arguments
    assert (len(b), len(a), text) == (3, 2, "as it is")


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    ("result", "names", "expected"),
    [
        (lambda x: x, ["y"], {"y"}),
        (lambda x: (x, x), ["u", "v"], {"u", "v"}),
        (lambda x: [x, x], None, {"output_0", "output_1"}),
        (lambda x: x, None, {"output"}),
        (lambda x: {"v": x, "u": x, "more": x}, ["u", "v"], {"u", "v"}),
        (lambda x: {"v": x, "u": [x, x]}, None, {"u", "v"}),
    ],
)
def test_outputs_are_named(make, result, names, expected):
    metadata = {} if names is None else {"model_output_list": names}
    handler = make(Echo(result=result), metadata)
    given = handler.inference({"x": np.ones((1, 2))})
    assert set(given) == {"x"} | expected


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda x: (x, x), "the model gave 2 outputs, model_output_list names 1: y"),
        (lambda x: {"z": x}, r"the model gives z by name and no y: pass model_output_list=\['z'\]"),
    ],
)
def test_outputs_that_do_not_fit_their_names(make, result, message):
    handler = make(Echo(result=result), described("ndarray"))
    with pytest.raises(ModelFailed, match=message):
        handler.inference({"x": np.ones((1, 2))})


def test_all_three_model_forms_give_the_same(make):
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU()).eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(model, (torch.ones(2, 2),), dynamic_shapes=({0: batch},))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch says so of TorchScript
        traced = torch.jit.trace(model, torch.ones(1, 2))
    x = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    expected = model(torch.from_numpy(x)).detach().numpy()
    for form in (model, traced, exported):
        given = make(form, described("ndarray")).inference({"x": x})["y"]
        np.testing.assert_allclose(given, expected, rtol=1e-6)


def test_bfloat16_outputs_become_float32(make):
    handler = make(Echo(result=lambda x: x.bfloat16()), described("ndarray"))
    assert handler.inference({"x": np.ones((1, 2))})["y"].dtype == np.float32


def test_read_only_and_reversed_arrays_reach_the_model(make):
    handler = make(Echo(result=lambda x: x), described("ndarray"))
    array = np.arange(4.0)
    array.flags.writeable = False
    assert handler.inference({"x": array[::-1]})["y"].tolist() == [3, 2, 1, 0]
