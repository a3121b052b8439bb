"""Requests share a forward pass only where it is proven that no row depends on the others."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import torch

from eisen_deploy.packaging import EisenServingMAR, ProofFailed, create_metadata
from eisen_deploy.packaging._contents import archive_folder

from .payloads import make_payload

pytestmark = pytest.mark.slow  # each packs with a sample, and tries many forms of it

METADATA = create_metadata(["x"], ["ndarray"], [[-1, 4]], ["y"], ["ndarray"], [[-1, -1]])
SAMPLE = {"x": np.linspace(-1, 2, 12, dtype=np.float32).reshape(3, 4)}
# Models of this module travel, and what it imports at its top with them.
ON_SERVER = ["eisen-deploy-packaging"]


@pytest.fixture
def examine(tmp_path):
    """Pack without the clean process, and return what ``eisen.json`` says of batches."""

    def _examine(model, pre=None, post=None, *, metadata=METADATA, sample=SAMPLE, **options):
        payload = make_payload(
            model, pre, post, metadata, sample=sample, requirements=ON_SERVER, **options
        )
        folder = tmp_path / "files"
        folder.mkdir()
        archive_folder.write(payload, archive_folder.measure(payload), folder)
        return json.loads((folder / "eisen.json").read_text())["batches"]

    return _examine


class Does(torch.nn.Module):
    """A model that is one function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 3)
    ).eval()


INDEPENDENT = {
    "a network": network(),
    "statistics of a row": Does(lambda x: (x - x.mean(1, True)) / (1 + x.std(1, keepdim=True))),
    "labels": Does(lambda x: x.softmax(1).argmax(1, keepdim=True)),
    "two outputs of a row": Does(lambda x: torch.cat([x.sort(1).values, x.cumsum(1)], 1)),
}


@pytest.mark.parametrize("name", INDEPENDENT)
def test_rows_that_do_not_depend_on_each_other_are_proven(examine, name):
    found = examine(INDEPENDENT[name], serving={"batch_size": 4})
    assert found["shared"], found["reason"]
    assert found["tried"] >= 10
    assert found["reason"] == (
        "each altered form of the sample got the same answer alone and in batches"
    )


def longest(x):
    """Cut to the longest row of the batch, as code that pads does."""
    return x[:, : max(1, int((x.abs() > 0.4).sum(1).max()))]


def without_doubles(x):
    """Set a row to zero that another one of the batch is equal to, as suppression does."""
    same = (x[:, None] == x[None]).all(2).tril(-1).any(1)
    return torch.where(same[:, None], 0.0, x)


DEPENDENT = {
    "batch statistics in training mode": torch.nn.BatchNorm1d(
        4, affine=False, track_running_stats=False
    ).eval(),
    "the mean of the batch": Does(lambda x: x - x.mean()),
    "the largest of the batch": Does(lambda x: x / x.abs().max().clamp(min=1e-6)),
    "softmax over the batch": Does(lambda x: x.softmax(0)),
    "the order of the batch": Does(lambda x: x.cumsum(0)),
    "a small part of the batch's mean": Does(lambda x: 1e-5 * (x + x.mean(0))),
    "padding to the longest": Does(longest),
    "rows in the order of a value": Does(lambda x: x[x[:, 0].argsort()]),
    "rows that are in the batch already": Does(without_doubles),
    "one NaN for all": Does(lambda x: x + 0 * x.sum()),
    "as many rows as there are findings": Does(lambda x: x[x > 0].reshape(-1, 1)),
    "the batch on axis 1": Does(lambda x: x.T),
    "one value for the batch": Does(lambda x: x.mean()),
    "a table beside the rows": Does(lambda x: torch.arange(3.0).reshape(3, 1)),
    "a list": Does(lambda x: [[x, x]]),
}


@pytest.mark.parametrize("name", DEPENDENT)
def test_rows_that_depend_on_the_batch_are_found(examine, name):
    found = examine(DEPENDENT[name])
    assert not found["shared"]
    assert found["reason"]


def test_batch_normalisation_that_was_left_in_training_mode_is_found(examine):
    model = network()
    model[1].train()
    found = examine(model)
    assert not found["shared"]
    assert found["reason"].startswith("y of ")


def test_an_answer_that_is_always_the_same_proves_nothing(examine):
    found = examine(Does(lambda x: (x.sum() > 1e6).float().expand(len(x), 1)))
    assert not found["shared"]
    assert found["reason"].startswith("the model gives the same for all altered forms")


def test_a_program_of_one_size_runs_one_by_one(examine):
    exported = torch.export.export(network(), (torch.zeros(3, 4),))
    found = examine(exported)
    assert not found["shared"]
    assert found["reason"].endswith("in one batch raise AssertionError, and not alone")


class Recentre:
    """Two transforms with a state: the second needs what the first has seen."""

    shift = 0.0

    def pre(self, data):
        self.shift = float(data["x"].max())
        return {**data, "x": np.float32(data["x"]) - self.shift}

    def post(self, data):
        return {**data, "y": data["y"] + self.shift}


def test_a_state_between_the_transforms_is_found(examine):
    both = Recentre()
    found = examine(torch.nn.Identity(), both.pre, both.post)
    assert not found["shared"]
    assert found["reason"].startswith("y of ")


VALUES = {"float": 0.5, "int": 3, "bool": True, "str": "ab", "json": {"name": None, "t": [1, 2]}}


def keeping_value(kind):
    """Return transforms of which the second needs a value that the first has seen, and metadata."""
    kept = {}

    def pre(data):
        kept["t"] = data["t"]
        return data

    def post(data):
        return {**data, "y": data["y"] * float(sum(map(ord, repr(kept["t"]))))}

    shapes = [[-1, 4], []]
    metadata = create_metadata(
        *(["x", "t"], ["ndarray", kind], shapes, ["y"], ["ndarray"], [[-1, -1]]),
        model_input_list=["x"],
    )
    return pre, post, metadata


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_that_is_kept_for_the_second_transform_is_found(examine, kind):
    pre, post, metadata = keeping_value(kind)
    sample = {**SAMPLE, "t": VALUES[kind]}
    found = examine(torch.nn.Identity(), pre, post, metadata=metadata, sample=sample)
    assert not found["shared"]
    assert "another t" in found["reason"]


def test_a_value_of_which_no_other_is_taken_does_no_harm_before_the_model(examine):
    _, _, metadata = keeping_value("str")
    sample = {**SAMPLE, "t": "axial"}

    def pre(data):
        return {**data, "x": data["x"] * {"axial": 1, "coronal": 2}[data["t"]]}

    assert examine(torch.nn.Identity(), pre, metadata=metadata, sample=sample)["shared"]


def test_a_value_of_which_no_other_is_taken_may_be_kept_for_the_second_transform(examine):
    _, _, metadata = keeping_value("str")
    sample = {**SAMPLE, "t": "axial"}

    def pre(data):
        return {**data, "x": data["x"] * {"axial": 1, "coronal": 2}[data["t"]]}

    found = examine(torch.nn.Identity(), pre, dict, metadata=metadata, sample=sample)
    assert not found["shared"]
    assert found["reason"].startswith("all other values of t that were tried are refused")


def test_a_size_that_is_kept_for_the_second_transform_is_found(examine):
    kept = {}

    def pre(data):
        kept["columns"] = data["x"].shape[1]
        return {"x": np.resize(data["x"], (len(data["x"]), 4))}

    def post(data):
        return {**data, "y": np.resize(data["y"], (len(data["y"]), kept["columns"]))}

    metadata = create_metadata(["x"], ["ndarray"], [[-1, -1]], ["y"], ["ndarray"], [[-1, -1]])
    found = examine(torch.nn.Identity(), pre, post, metadata=metadata)
    assert not found["shared"]
    assert found["reason"].startswith("y of ")


class Doubles(torch.nn.Module):
    """Writes into its input, which is the request's own where that has the type of its weight."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1), requires_grad=False)

    def forward(self, x):
        return x.mul_(2 * self.weight).clone()


def with_input(data):
    return {"y": data["y"] + data["x"]}


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int32])
def test_what_a_model_writes_into_requests_of_one_type_alone_is_found(examine, dtype):
    found = examine(Doubles(), None, with_input, sample={"x": SAMPLE["x"].astype(dtype)})
    assert not found["shared"]


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool])
@pytest.mark.parametrize("value", [0, 1, 255])
def test_a_state_is_found_with_a_sample_of_one_integer_alone(examine, dtype, value):
    both = Recentre()
    sample = {"x": np.full((2, 4), value, dtype)}
    assert not examine(torch.nn.Identity(), both.pre, both.post, sample=sample)["shared"]


def test_a_transform_that_uses_its_buffer_again_does_no_harm(examine):
    buffer = np.zeros((8, 4), np.float32)

    def pre(data):
        rows = buffer[: len(data["x"])]
        np.multiply(data["x"], 2, out=rows)
        return {**data, "x": rows}

    assert examine(torch.nn.Identity(), pre)["shared"]


def test_a_model_that_refuses_what_is_altered_is_proven_with_the_rest(examine):
    def refuse(x):
        if not bool(torch.isfinite(x).all()) or bool((x.abs() > 10).any()):
            raise ValueError("not an image")
        return x * 2

    found = examine(Does(refuse))
    assert found["shared"]
    assert found["refused"] == 2
    assert found["tried"] == 10


def test_a_model_that_takes_the_sample_alone_proves_nothing(examine):
    expected = torch.from_numpy(SAMPLE["x"].copy())

    def pick(x):
        if x.shape != expected.shape or not torch.equal(x, expected):
            raise ValueError("unknown")
        return x

    found = examine(Does(pick))
    assert not found["shared"]
    assert "refuses all altered forms" in found["reason"]


@pytest.mark.parametrize(
    ("outputs", "reason"),
    [
        ([[2, 2]], "the metadata does not free axis 0 of y"),
        ([[]], "the metadata does not free axis 0 of y"),
    ],
)
def test_a_declared_output_without_a_batch_axis_is_not_even_tried(examine, outputs, reason):
    metadata = create_metadata(["x"], ["ndarray"], [[-1, 4]], ["y"], ["ndarray"], outputs)
    found = examine(Does(lambda x: x.sum()), metadata=metadata)
    assert found == {"shared": False, "reason": reason, "tried": 0, "refused": 0}


def test_a_large_sample_is_examined_if_batches_are_asked_for(examine, tmp_path):
    metadata = create_metadata(["x"], ["ndarray"], [[-1, -1]], ["y"], ["ndarray"], [[-1, -1]])
    sample = {"x": np.zeros((1, 2**20 + 1), np.float32)}
    found = examine(torch.nn.Identity(), metadata=metadata, sample=sample)
    assert not found["shared"]
    assert found["reason"].startswith("it was not examined, since the sample is large")
    (tmp_path / "files").rename(tmp_path / "first")
    asked = {"metadata": metadata, "sample": sample, "serving": {"batch_size": 2}}
    assert examine(torch.nn.Identity(), **asked)["shared"]


class Placed(torch.nn.Module):
    """Takes no affine of another scale, as if the image were resampled by it."""

    def forward(self, x, affine):
        if affine.abs().max() > 2 or not affine.abs().max():
            raise RuntimeError("too many voxels")
        return x + affine[:, :1, 0]


def test_a_model_s_own_affine_is_that_of_the_sample(examine):
    metadata = create_metadata(
        ["x", "x_affine"],
        ["ndarray", "ndarray"],
        [[-1, 4], [-1, 4, 4]],
        ["y"],
        ["ndarray"],
        [[-1, 4]],
    )
    sample = {**SAMPLE, "x_affine": np.stack([np.diag([2.0, 2, 2, 1])] * 3)}
    found = examine(Placed(), metadata=metadata, sample=sample)
    assert found["shared"], found["reason"]
    assert found["refused"] == 0


def test_a_sample_without_rows_proves_nothing(examine):
    found = examine(torch.nn.Identity(), sample={"x": np.zeros((0, 4), np.float32)})
    assert found["reason"] == "the sample has no rows"


HANDLER = """
from eisen_deploy.serving import EisenServingHandler

class Mine(EisenServingHandler):
    def inference(self, input_dict):
        return super().inference(input_dict)
"""


def test_a_handler_with_inference_of_its_own_has_no_common_pass(examine, tmp_path):
    (tmp_path / "mine.py").write_text(HANDLER)
    found = examine(torch.nn.Identity(), handler=str(tmp_path / "mine.py"))
    assert found["reason"] == "the handler has inference of its own"


def test_batches_that_are_asked_for_and_cannot_be_are_an_error(examine):
    with pytest.raises(ProofFailed, match=r"requests cannot share a forward pass: y of .* alone"):
        examine(DEPENDENT["the mean of the batch"], serving={"batch_size": 4})


def test_unproven_batches_are_reported(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "eisen_deploy.packaging"):
        EisenServingMAR(None, None, METADATA).pack(
            torch.nn.Identity(), tmp_path, serving={"batch_size": 4}
        )
    said = "requests will run one by one: the archive was packed without a sample"
    assert any(said in text for text in caplog.messages)


def test_the_proof_gives_the_same_archive_again(examine, tmp_path):
    first = examine(network())
    (tmp_path / "files").rename(tmp_path / "first")
    assert examine(network()) == first
