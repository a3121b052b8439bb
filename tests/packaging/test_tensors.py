"""What of a tensor's storage travels: the elements that are used, and no others."""

from __future__ import annotations

import random
import warnings

import numpy as np
import pytest
import torch

from eisen_deploy.packaging import EisenServingMAR, NotSerializable
from eisen_deploy.packaging._pickles.memory import cut_to_used

from .small_parts import Add, Shift

DTYPES = (torch.float32, torch.int8, torch.float64, torch.int16)


@pytest.fixture
def dataset():
    """The training set, and bytes of one row that must not travel."""
    data = torch.arange(400_000, dtype=torch.float32).reshape(-1, 2)
    return data, data[100_000:100_004].numpy().tobytes()


def traced(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit, by torch itself
        return torch.jit.trace(model, torch.ones(1, 2))


def scripted(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(model)


def exported(model):
    return torch.export.export(model, (torch.ones(1, 2),))


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("form", [lambda model: model, scripted, exported])
@pytest.mark.parametrize("part", [lambda d: d[0], lambda d: d[:4, 1].sum() * d[0], lambda d: d[7]])
def test_a_row_of_a_dataset_travels_alone(dataset, tmp_path, form, part):
    data, others = dataset
    path = EisenServingMAR(None, None, {}).pack(form(Shift(part(data))), tmp_path)
    assert path.stat().st_size < 800_000
    assert others not in path.read_bytes()


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    "state",
    [
        lambda data: {"row": data[0]},
        lambda data: {"column": data[:, 0], "some": [data[3:5], {"a": data[4]}]},
        lambda data: {"parameter": torch.nn.Parameter(data[2]), "strided": data[::50_000]},
        lambda data: {"sparse": data[:2].to_sparse(), "row": torch.from_numpy(data.numpy())[1]},
        lambda data: {"optimiser": torch.optim.SGD([torch.nn.Parameter(data[2])], lr=0.1)},
    ],
)
def test_a_transform_takes_along_what_it_uses(dataset, tmp_path, state):
    data, others = dataset
    path = EisenServingMAR(None, Add(**state(data)), {}).pack(torch.nn.Identity(), tmp_path)
    assert others not in path.read_bytes()


def test_a_storage_by_itself_travels_whole(dataset, tmp_path):
    data, others = dataset
    transform = Add(storage=data.untyped_storage(), row=data[0])
    path = EisenServingMAR(None, transform, {}).pack(torch.nn.Identity(), tmp_path)
    assert others in path.read_bytes()


def test_a_constant_of_torchscript_that_is_a_part_is_refused(dataset, tmp_path):
    class Net(torch.nn.Module):
        def forward(self, x):
            return x - row

    row = dataset[0][0]
    with pytest.raises(NotSerializable, match=r"part of a larger tensor.*clone\(\) it before"):
        EisenServingMAR(None, None, {}).pack(traced(Net()), tmp_path)
    inner = torch.nn.Sequential(traced(Net()))
    with pytest.raises(NotSerializable, match=r"clone\(\) it before.*in the submodule 0"):
        EisenServingMAR(None, None, {}).pack(inner, tmp_path)


def test_tied_parameters_stay_parameters_and_tied():
    flat = torch.arange(100, dtype=torch.float32)
    weight = torch.nn.Parameter(flat[8:12].view(2, 2), requires_grad=False)
    cut = cut_to_used({"weight": weight, "bias": torch.nn.Parameter(flat[10:12])})
    assert isinstance(cut["bias"], torch.nn.Parameter)
    assert [cut[name].requires_grad for name in ("weight", "bias")] == [False, True]
    cut["weight"][1, 0] = -1
    assert cut["bias"].tolist() == [-1, 11]
    assert cut["bias"].untyped_storage().nbytes() < 64


def test_whole_storages_are_not_copied():
    flat = torch.arange(100, dtype=torch.float32)
    given = {"a": flat[:60], "b": flat[60:], "t": flat.view(10, 10).t()}
    pointers = {name: each.data_ptr() for name, each in cut_to_used(given).items()}
    assert pointers == {name: each.data_ptr() for name, each in given.items()}


def views(rng):
    """A few random views of one tensor, with gaps, overlaps, repeated and no elements."""
    whole = torch.arange(1, rng.choice([7, 40, 64, 121])).to(rng.choice(DTYPES))
    found = []
    while len(found) < rng.randint(1, 4):
        axes = rng.randint(0, 3)
        size = [rng.choice([1, 2, 3, 4] * 5 + [0]) for _ in range(axes)]
        stride = [rng.choice([0, 1, 1, 2, 3, 5, 8]) for _ in range(axes)]
        reach = sum((n - 1) * step for n, step in zip(size, stride, strict=True)) + 1
        if 0 < reach <= len(whole):
            offset = rng.randint(0, len(whole) - reach)
            found.append(whole.as_strided(size, stride, offset))
    return found


@pytest.mark.quick_cases(50)
@pytest.mark.parametrize("seed", range(300))
def test_random_views_keep_their_values_and_what_they_share(seed):
    given = views(random.Random(seed))
    used = {0, *(number for each in given for number in each.reshape(-1).tolist())}
    cut = list(cut_to_used({str(index): each for index, each in enumerate(given)}).values())
    for each in cut:
        stored = torch.empty(0, dtype=each.dtype).set_(each.untyped_storage())
        assert set(stored.tolist()) <= used
    for one, other in zip(given, cut, strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(given, cut, strict=True):
        if one.numel():
            one[(0,) * one.ndim] = other[(0,) * one.ndim] = 99
            for left, right in zip(given, cut, strict=True):
                np.testing.assert_array_equal(left, right)
