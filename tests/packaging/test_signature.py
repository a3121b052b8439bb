"""``create_metadata_from``: what a sample shows of a model's inputs and outputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from eisen_deploy.packaging import (
    EisenServingMAR,
    InvalidArgument,
    InvalidSample,
    UnsupportedModel,
    create_metadata,
    create_metadata_from,
)

VOLUME = np.linspace(0, 1, 6 * 7 * 8, dtype=np.float32).reshape(1, 1, 6, 7, 8)


class Named(torch.nn.Module):
    def forward(self, image, *, scale):
        return {"scaled": image * scale, "count": 3, "note": "done"}


class OneRow(torch.nn.Module):
    def forward(self, x):
        return x.reshape(1, 3)


class Several(torch.nn.Module):
    def forward(self, x, y):
        return x + y, (x > y)


def signature(*arguments, **options):
    return create_metadata_from(*arguments, show=None, **options)


def fields(described):
    return {field["name"]: (field["type"], field["shape"]) for field in described}


@pytest.fixture
def conv():
    return torch.nn.Conv3d(1, 2, 3, padding=1)


def test_the_batch_is_free_and_other_axes_are_as_seen(conv):
    metadata = signature(conv, {"image": VOLUME})
    assert metadata == create_metadata(
        ["image"], ["ndarray"], [[-1, 1, 6, 7, 8]], ["output"], ["ndarray"], [[-1, 2, 6, 7, 8]]
    )


def test_axes_are_free_where_another_sample_differs(conv):
    other = {"image": VOLUME[..., :5, :4]}
    metadata = signature(conv, {"image": VOLUME}, other_sample=other)
    assert metadata["inputs"][0]["shape"] == [-1, 1, 6, -1, -1]
    assert metadata["outputs"][0]["shape"] == [-1, 2, 6, -1, -1]


def test_axes_are_free_where_that_is_said(conv):
    metadata = signature(conv, {"image": VOLUME}, free_axes={"image": [-1], "output": [2]})
    assert metadata["inputs"][0]["shape"] == [-1, 1, 6, 7, -1]
    assert metadata["outputs"][0]["shape"] == [-1, 2, -1, 7, 8]


def test_a_model_for_one_row_keeps_its_batch_axis():
    metadata = signature(OneRow(), {"x": np.ones((1, 3), np.float32)})
    assert metadata["inputs"][0]["shape"] == metadata["outputs"][0]["shape"] == [1, 3]


def test_parameters_are_found_by_their_names():
    sample = {"scale": np.float32([[2.0]]), "image": np.ones((1, 3), np.float32), "age": 40}
    metadata = signature(Named(), sample)
    assert metadata["model_input_list"] == ["image", "scale"]
    assert metadata["model_output_list"] == ["scaled", "count", "note"]
    assert fields(metadata["inputs"])["age"] == ("int", [-1])
    assert fields(metadata["outputs"]) == {
        "scaled": ("ndarray", [-1, 3]),
        "count": ("int", [-1]),
        "note": ("str", [-1]),
    }


def test_outputs_by_position_get_names_and_types():
    sample = {"y": np.ones((2, 3), np.int64), "x": np.ones((2, 3), np.int64)}
    metadata = signature(Several(), sample)
    assert metadata["model_input_list"] == ["x", "y"]
    assert fields(metadata["inputs"])["x"] == ("ndarray[int64]", [-1, 3])
    assert fields(metadata["outputs"]) == {
        "output_0": ("ndarray[int64]", [-1, 3]),
        "output_1": ("ndarray[bool]", [-1, 3]),
    }
    named = signature(Several(), sample, model_output_list=["sum", "larger"])
    assert [*fields(named["outputs"])] == ["sum", "larger"]


def test_integers_become_plain_where_the_model_takes_floats_only(conv):
    metadata = signature(conv, {"image": VOLUME.astype(np.uint8)})
    assert metadata["inputs"][0]["type"] == "ndarray"


def test_outputs_are_what_post_processing_adds(conv):
    def normalise(batch):
        return {"scaled": batch["image"] - batch["image"].mean()}

    def label(batch):
        return {**batch, "mask": batch["output"].argmax(1, keepdims=True).astype(np.uint8)}

    metadata = signature(conv, {"image": VOLUME}, normalise, label)
    assert metadata["model_input_list"] == ["scaled"]
    assert metadata["model_output_list"] == ["output"]
    assert fields(metadata["outputs"]) == {"mask": ("ndarray[uint8]", [-1, 1, 6, 7, 8])}


def test_modes_and_gradients_are_left_as_they_were(conv):
    conv.train()
    signature(conv, {"image": VOLUME})
    assert conv.training
    assert all(parameter.grad is None for parameter in conv.parameters())


@pytest.mark.parametrize(
    ("model", "sample", "transform", "text"),
    [
        (torch.nn.Linear(4, 2), {"x": np.ones((1, 5), np.float32)}, None, "the model raised Run"),
        (torch.nn.Linear(4, 2), {"x": np.ones((1, 4)), "q": np.ones(3)}, None, "takes 1 by posi"),
        (torch.nn.Linear(4, 2), {}, None, "expected a dict of inputs by name"),
        (torch.nn.Linear(4, 2), {"x": VOLUME}, lambda data: data["no"], "raised KeyError: 'no'"),
    ],
)
def test_a_sample_that_cannot_be_run_is_explained(model, sample, transform, text):
    with pytest.raises(InvalidSample, match=text):
        signature(model, sample, transform)


def test_axes_that_are_not_there_are_refused(conv):
    with pytest.raises(InvalidArgument) as caught:
        signature(conv, {"image": VOLUME}, free_axes={"image": [5], "mask": [2]})
    assert caught.value.problems == (
        "free_axes: image has 5 axes, got [5]",
        "free_axes: mask is no array of the sample or of its outputs",
    )


def test_what_cannot_be_packed_is_refused_as_pack_refuses_it():
    with pytest.raises(UnsupportedModel, match="it is a class, pass an instance"):
        signature(torch.nn.Linear, {"x": VOLUME})


def test_it_is_shown_for_review(conv, capsys):
    create_metadata_from(conv, {"image": VOLUME})
    assert capsys.readouterr().out.splitlines() == [
        "input   image   ndarray  [-1, 1, 6, 7, 8]",
        "output  output  ndarray  [-1, 2, 6, 7, 8]",
        "model: image -> output",
    ]


def test_an_archive_is_packed_with_it(conv, tmp_path):
    sample = {"image": VOLUME}
    mar = EisenServingMAR(None, None, signature(conv, sample))
    assert mar.pack(conv, tmp_path, sample=sample).exists()
