"""A sample recorded: the user's own objects run as a server would run them."""

from __future__ import annotations

import itertools
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from eisen_deploy.packaging import create_metadata
from eisen_deploy.packaging._arguments.sample_argument import parse_sample, parse_tolerance
from eisen_deploy.packaging._errors import InvalidArgument, InvalidSample, ProofFailed
from eisen_deploy.packaging._proof import samples
from eisen_deploy.packaging._shared.wire import protocol

from .payloads import make_payload

METADATA = create_metadata(["x"], ["ndarray"], [[-1, 3]], ["y"], ["ndarray"], [[-1, 2]])
SAMPLE = {"x": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)}


@pytest.fixture
def record(tmp_path):
    """Record a sample: ``record(model, sample, ...) -> (request, reply, said)``, both decoded."""
    numbers = itertools.count()

    def _record(model, sample=SAMPLE, pre=None, post=None, metadata=METADATA, **options):
        folder = tmp_path / f"files-{next(numbers)}"
        folder.mkdir()
        tolerance = options.get("tolerance", 1e-3)
        payload = make_payload(
            model,
            pre,
            post,
            metadata,
            handler=options.get("handler"),
            serving=options.get("serving"),
        )
        handler = payload.handler
        if handler.file is not None:
            (folder / handler.file[0]).write_bytes(handler.file[1])
        for name, text in options.get("files", {}).items():
            (folder / name).write_text(text)
        request = parse_sample(sample, handler, payload.metadata)
        payload = replace(payload, tolerance=parse_tolerance(tolerance))
        said, _ = samples.record(payload, request, folder)
        decoded = [
            decode(bytearray((folder / said[part]["file"]).read_bytes()), said[part]["json_size"])
            for part, decode in (
                ("request", protocol.decode_request),
                ("reply", protocol.decode_reply),
            )
        ]
        written = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
        expected = {"sample", "sample/request.bin", "sample/reply.bin"}
        expected |= {*options.get("files", {}), *(handler.file or ())[:1]}
        assert written == expected
        return decoded[0].inputs, decoded[1].outputs, said

    return _record


# --- what is recorded ---------------------------------------------------------------------


def test_each_form_of_model(record, form):
    _, _, model = form
    request, reply, said = record(model)
    np.testing.assert_array_equal(request["x"], SAMPLE["x"])
    called = model.module() if hasattr(model, "module") else model
    with torch.no_grad():
        expected = called(torch.from_numpy(SAMPLE["x"].copy())).numpy()
    np.testing.assert_allclose(reply["y"], expected, rtol=1e-6)
    assert said["tolerance"] == 1e-3


def test_a_sample_runs_through_all_stages_with_names_and_declared_outputs(record, linear):
    metadata = create_metadata(
        ["x", "name"], ["ndarray", "str"], [[-1, 3], []], ["label"], ["str"], [[]], ["x"], ["y"]
    )
    _, reply, _ = record(
        linear,
        {"x": [[1, 2, 3]], "name": "Ada"},
        lambda data: {**data, "x": data["x"] * 0},
        lambda data: {"label": f"{data['name']}: {data['y'].shape}", "rest": 1},
        metadata,
    )
    assert reply == {"label": "Ada: (1, 2)"}


def test_tensors_may_stand_for_arrays(record, linear):
    weights = torch.from_numpy(SAMPLE["x"].copy()).requires_grad_()
    request, reply, _ = record(linear, {"x": weights})
    np.testing.assert_array_equal(request["x"], SAMPLE["x"])
    assert reply["y"].shape == (2, 2)


def test_the_same_sample_gives_the_same_bytes(record, linear, tmp_path):
    record(linear)
    record(linear)
    for name in ("request.bin", "reply.bin"):
        first, second = ((tmp_path / f"files-{i}" / "sample" / name) for i in range(2))
        assert first.read_bytes() == second.read_bytes()


def test_a_precision_of_the_server_is_used_here_as_well(record, linear):
    _, exact, _ = record(linear)
    _, half, _ = record(linear, serving={"precision": "bfloat16"})
    assert half["y"].dtype == np.float32
    assert 0 < np.abs(half["y"] - exact["y"]).max() < 0.05


# --- the user's objects stay as they are --------------------------------------------------


def test_every_module_gets_its_mode_back(record):
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Dropout(0.9), torch.nn.ReLU())
    model.train()
    model[2].eval()
    _, reply, _ = record(model)
    assert [each.training for each in model.modules()] == [True, True, True, False]
    with torch.no_grad():  # dropout was off
        expected = torch.relu(model[0](torch.from_numpy(SAMPLE["x"].copy())))
    np.testing.assert_allclose(reply["y"], expected.numpy(), rtol=1e-6)


def test_statistics_that_a_layer_counts_are_as_before(record):
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)).eval()
    model[1].train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    record(model)
    assert model[1].training
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_modes_are_restored_after_a_failure(record):
    class Fails(torch.nn.Linear):
        def forward(self, x):
            raise ValueError("no")

    model = Fails(3, 2).train()
    with pytest.raises(ProofFailed):
        record(model)
    assert model.training


def test_an_overridden_train_method_restores_the_mode(record):
    class Merging(torch.nn.Linear):
        merged = False

        def train(self, mode=True):
            self.merged = not mode
            return super().train(mode)

    model = Merging(3, 2)
    record(model)
    assert model.merged is False


def test_a_scripted_model_gets_its_mode_back_and_a_frozen_one_has_none(record):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Dropout()))
        frozen = torch.jit.freeze(torch.jit.script(torch.nn.Linear(3, 2).eval()))
    scripted.train()
    record(scripted)
    assert scripted.training
    assert record(frozen)[1]["y"].shape == (2, 2)


def test_neither_the_sample_nor_its_arrays_are_changed(record, linear):
    def spoils(data):
        data["x"] *= 0
        data["x"] += 1
        return data

    sample = {"x": SAMPLE["x"].copy()}
    request, _, _ = record(linear, sample, spoils)
    np.testing.assert_array_equal(sample["x"], SAMPLE["x"])
    np.testing.assert_array_equal(request["x"], SAMPLE["x"])


def test_nothing_needs_gradients_while_it_runs(record, linear):
    seen = []
    linear.register_forward_hook(lambda *_: seen.append(torch.is_grad_enabled()))
    record(linear)
    assert len(seen) > 2
    assert not any(seen)


# --- handlers -----------------------------------------------------------------------------

SUBCLASS = """
from eisen_deploy.serving import EisenServingHandler
from shifts_by import SHIFT

class Mine(EisenServingHandler):
    def initialize(self, ctx):
        super().initialize(ctx)
        self.seen = ctx.system_properties["model_dir"]

    def post_process(self, data):
        assert self.seen
        return {"y": super().post_process(data)["y"] + SHIFT}
"""


def test_a_subclass_runs_with_what_lies_beside_it(record, linear, tmp_path):
    handler = tmp_path / "shifting_handler.py"
    handler.write_text(SUBCLASS)
    path, modules = list(sys.path), set(sys.modules)
    _, plain, _ = record(linear)
    _, shifted, _ = record(linear, handler=handler, files={"shifts_by.py": "SHIFT = 10\n"})
    np.testing.assert_allclose(shifted["y"], plain["y"] + 10, rtol=1e-6)
    assert sys.path == path
    assert not {"shifting_handler", "shifts_by"} & (set(sys.modules) - modules)


def test_a_handler_that_cannot_be_made_says_why(record, linear, tmp_path):
    handler = tmp_path / "broken_handler.py"
    handler.write_text(SUBCLASS)
    with pytest.raises(ProofFailed, match=r"Mine cannot be made .* No module named 'shifts_by'"):
        record(linear, handler=handler)


def test_other_handlers_replay_nothing(record, traced):
    with pytest.raises(InvalidSample, match="handler is image_classifier"):
        record(traced, handler="image_classifier")


# --- refusals -----------------------------------------------------------------------------


@pytest.mark.parametrize("sample", [None, [1], "x", np.ones((1, 3))], ids=str)
def test_a_sample_is_a_dict(record, linear, sample):
    with pytest.raises(InvalidSample, match="expected a dict of inputs by name, got "):
        record(linear, sample)


@pytest.mark.parametrize(
    ("sample", "problems"),
    [
        ({}, ["sample: x: is missing"]),
        ({"x": np.ones((2, 4)), "z": 1}, ["expected shape", "sample: z: is not an input"]),
        ({"x": {1, 2}, "z": object()}, ["x: set cannot be sent", "z: object cannot be sent"]),
        ({1: np.ones((1, 3))}, ["a name must be a string"]),
        ({"x": np.ma.ones((1, 3))}, ["masked array"]),
        ({"x": "text"}, ["x: expected"]),
        ({"x": torch.ones(1, 3, device="meta")}, ["x: holds a tensor that has no form as an"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_problem_of_a_sample_is_reported(record, linear, sample, problems):
    with pytest.raises(InvalidSample) as caught:
        record(linear, sample)
    assert isinstance(caught.value, InvalidArgument)
    assert len(caught.value.problems) == len(problems)
    assert all(part in told for part, told in zip(problems, caught.value.problems))


@pytest.mark.parametrize("tolerance", [-1, float("nan"), float("inf"), True, "0.1", None])
def test_a_tolerance_is_a_number(record, linear, tolerance):
    with pytest.raises(InvalidSample, match="tolerance: expected a number of 0 or more"):
        record(linear, tolerance=tolerance)


def fails(data):
    raise KeyError("volume")


def exits(data):
    sys.exit(3)


@pytest.mark.parametrize(
    ("pre", "post", "expected"),
    [
        (fails, None, "pre_process raised KeyError: 'volume'"),
        (
            None,
            fails,
            r"KeyError: 'volume' \(test_sample.py, line \d+\); it was given the keys x, y",
        ),
        (exits, None, "pre_process raised SystemExit: 3"),
        (lambda data: {}, None, "pre_processing gave no x"),
        (lambda data: [1], None, "pre_processing must give a dict, gave list"),
        (None, lambda data: {}, "gave no y"),
        (None, lambda data: {"y": object()}, "y: object cannot be sent"),
    ],
)
def test_an_error_in_a_stage_is_reported_with_the_stage(record, linear, pre, post, expected):
    with pytest.raises(ProofFailed, match=expected) as caught:
        record(linear, pre=pre, post=post)
    assert caught.value.differences == ()


def test_the_model_s_own_error_is_the_cause(record, linear):
    linear.register_forward_pre_hook(fails_with_two)
    with pytest.raises(ProofFailed, match="inference raised ValueError: no such size") as caught:
        record(linear)
    assert isinstance(caught.value.__cause__, ValueError)


def fails_with_two(module, inputs):
    raise ValueError("no such size")


@pytest.mark.parametrize(
    "post",
    [
        lambda data: {"y": np.random.default_rng().random(99)},
        lambda data: {"y": torch.nn.functional.dropout(torch.ones(1, 99))},
    ],
    ids=["random", "dropout"],
)
def test_outputs_that_are_not_the_same_again_are_refused(record, linear, post):
    with pytest.raises(ProofFailed, match="a second time in this process: y;") as caught:
        record(linear, post=post)
    ((name, expected, got, difference),) = caught.value.differences
    assert (name, expected) == ("y", got)
    assert float(difference) > 0


def test_differences_within_the_tolerance_are_no_differences(record, linear):
    numbers = itertools.count()
    _, reply, _ = record(linear, post=lambda data: {"y": np.float64(next(numbers))}, tolerance=1.5)
    assert reply["y"] == 0


@pytest.mark.parametrize(("serving", "expected"), [(None, None), ({"device": "cuda"}, 0)])
def test_the_gpu_of_a_model(linear, exported, serving, expected):
    for model in (linear, exported, torch.nn.ReLU()):
        assert make_payload(model, serving=serving).gpu_id == expected
