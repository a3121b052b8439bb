"""What a model may give, and what is said of what has no form as an array."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from eisen_deploy.serving.runtime.archive.outputs import name_outputs, to_numpy, widen
from eisen_deploy.serving.runtime.errors import InvalidOutput, ModelFailed

X = torch.tensor([[1.0, 2.0], [3.0, 4.0]])


@dataclasses.dataclass
class Record:
    y: Any
    z: Any = None


class Pair(NamedTuple):
    z: Any
    y: Any


class Sub(torch.Tensor):
    pass


KINDS = {
    "sparse": X.to_sparse,
    "sparse rows": X.to_sparse_csr,
    "sparse columns": X.to_sparse_csc,
    "sparse blocks": lambda: X.to_sparse_bsr((1, 1)),
    "MKL-DNN": X.to_mkldnn,
    "nested": lambda: torch.nested.nested_tensor([X[0], X[1]]),
    "quantised": lambda: torch.quantize_per_tensor(X, 0.5, 0, torch.qint8),
    "quantised by channel": lambda: torch.quantize_per_channel(
        X, torch.ones(2), torch.zeros(2), 0, torch.quint8
    ),
    "bfloat16": X.bfloat16,
    "float8": lambda: X.to(torch.float8_e4m3fn),
    "other float8": lambda: X.to(torch.float8_e5m2),
    "subclass": lambda: X.as_subclass(Sub),
    "parameter": lambda: torch.nn.Parameter(X),
    "conjugated": lambda: (X * (1 + 1j)).conj().real,
    "negated": lambda: (X * (1 - 1j)).conj().imag,
    "needs gradients": lambda: X.clone().requires_grad_() * 1,
    "transposed": lambda: X.T.clone().T,
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # of torch, about kinds that are in beta
@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_a_tensor_of_any_kind_is_an_array_of_its_values(make):
    found = to_numpy(make())
    assert type(found) is np.ndarray
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, X)


@pytest.mark.parametrize("dtype", ["bool", "uint16", "int64", "float16", "float64", "complex64"])
def test_types_that_numpy_has_stay_as_they_are(dtype):
    found = to_numpy(X.to(getattr(torch, dtype)))
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, X.numpy().astype(dtype))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_half_complex_numbers_become_complex64():
    found = to_numpy(X.to(torch.complex64).to(torch.complex32))
    assert found.dtype == np.complex64
    np.testing.assert_array_equal(found, X)


def test_an_expanded_tensor_has_all_its_values():
    np.testing.assert_array_equal(to_numpy(X[0].expand(3, 2)), [[1, 2]] * 3)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: torch.empty(2, device="meta"), "a Tensor of float32, which has no values"),
        (
            lambda: torch.nested.nested_tensor([X, X[0:1]]),
            "a nested Tensor of float32, whose parts differ",
        ),
        (
            lambda: torch.nested.nested_tensor([X, X[0:1]], layout=torch.jagged),
            "NestedTensor of float32, whose values are in other tensors",
        ),
    ],
)
def test_what_has_no_form_is_refused_by_its_name(make, told):
    with pytest.raises(InvalidOutput) as caught:
        name_outputs({"boxes": [make()]}, ["boxes"])
    assert str(caught.value).startswith("boxes: the output is ")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "result",
    [
        Record(X, {"inner": Record(X)}),
        {"y": X, "z": {"inner": {"y": X, "z": None}}},
        Pair({"inner": Record(X)}, X),
        SimpleNamespace(y=X, z={"inner": SimpleNamespace(y=X, z=None)}),
    ],
    ids=lambda result: type(result).__name__,
)
@pytest.mark.parametrize("names", [["y"], ["y", "z"], None])
def test_fields_are_taken_by_name(result, names):
    found = name_outputs(result, names)
    assert set(found) == set(names or ["y", "z"])
    np.testing.assert_array_equal(found["y"], X)
    if "z" in found:
        assert set(found["z"]["inner"]) == {"y", "z"}
        np.testing.assert_array_equal(found["z"]["inner"]["y"], X)


def test_a_named_tuple_goes_by_position_where_the_names_are_not_its_own():
    found = name_outputs(Pair(X, 2 * X), ["a", "b"])
    np.testing.assert_array_equal(found["b"], 2 * X)


@pytest.mark.parametrize("result", [Record(X, X), {"y": X, "z": X}])
def test_missing_names_are_reported_with_those_that_exist(result):
    with pytest.raises(ModelFailed) as caught:
        name_outputs(result, ["logits"])
    assert str(caught.value).startswith(
        "the model gives y, z by name and no logits: pass model_output_list=['y', 'z']"
    )


def test_half_types_become_float32_and_fields_stay_fields():
    half = X.half()
    found = widen(Pair(half, [half, {"a": Record(half)}]), torch.float16)
    assert isinstance(found, Pair)
    assert found.z.dtype is found.y[0].dtype is found.y[1]["a"]["y"].dtype is torch.float32
