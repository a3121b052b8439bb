"""A batch: one answer for each request, no harm from one to another, one pass where it can be."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import sys

import numpy as np
import pytest
import torch


def rows(*sizes):
    """Arrays of the given numbers of rows, each with values of its own."""
    start = np.cumsum([0, *sizes])
    return [
        np.arange(2 * a, 2 * b, dtype=np.float32).reshape(-1, 2) for a, b in zip(start, start[1:])
    ]


def test_bad_requests_do_not_harm_the_others(worker, encode_oip):
    good = rows(1, 2, 3, 1, 2)
    requests = [encode_oip({"x": array}) for array in good]
    requests.insert(1, ({"Content-Type": "application/json"}, bytearray(b'{"x": [[1, 2]')))
    requests.insert(3, encode_oip({"x": np.ones((1, 3))}))
    requests.insert(5, encode_oip({"x": np.full((1, 2), 2e6)}))
    answers = worker.post_all(requests)
    assert [answer.status for answer in answers] == [200, 400, 200, 422, 200, 500, 200, 200]
    for array, answer in zip(good, [answers[i] for i in (0, 2, 4, 6, 7)]):
        np.testing.assert_array_equal(answer.outputs["y"], 2 * array + 1)


def test_the_answer_to_a_failure_holds_no_data(worker, caplog):
    with caplog.at_level(logging.DEBUG):
        answer = worker.predict({"x": np.full((1, 2), 31337000.0)})
    assert answer.json == {
        "code": 500,
        "type": "ModelFailed",
        "message": "inference raised ValueError; the log shows where",
        "error": "inference raised ValueError; the log shows where",
        "problems": ["inference raised ValueError; the log shows where"],
    }
    assert "in forward" in caplog.text
    assert "31337" not in caplog.text
    assert "secret value" not in caplog.text.replace('f"secret value', "")


@pytest.fixture
def sharing(start_proven, affine):
    """A worker with the model y = 2 x + 1, whose requests may share a pass."""
    return start_proven(affine[0](), affine[1], sample={"x": rows(2)[0]})


def test_compatible_requests_share_one_pass(sharing):
    worker = sharing
    arrays = rows(1, 3, 2)
    before = worker.handler.archive.model.module.calls
    answers = worker.predict_all([{"x": array} for array in arrays])
    assert worker.handler.archive.model.module.calls == before + 1
    for array, answer in zip(arrays, answers):
        np.testing.assert_array_equal(answer.outputs["y"], 2 * array + 1)


def test_a_failing_pass_is_run_again_one_by_one(sharing):
    worker = sharing
    before = worker.handler.archive.model.module.calls
    answers = worker.predict_all([{"x": np.full((1, 2), v)} for v in (1.0, 2e6, 3.0)])
    assert [answer.status for answer in answers] == [200, 500, 200]
    assert worker.handler.archive.model.module.calls == before + 4


class Exits(torch.nn.Module):
    """Ends the process for numbers above a million."""

    def forward(self, x):
        if bool((x > 1e6).any()):
            raise SystemExit(3)
        return 2 * x


def test_a_model_that_exits_in_a_common_pass_harms_no_other_request(start_proven, affine):
    worker = start_proven(Exits(), affine[1], sample={"x": rows(2)[0]})
    assert worker.handler.archive.batches.shared
    answers = worker.predict_all([{"x": np.full((1, 2), v)} for v in (1.0, 2e6, 3.0)])
    assert [answer.status for answer in answers] == [200, 500, 200]


def test_a_fixed_batch_axis_keeps_requests_apart(start, affine):
    fixed = {**affine[1], "inputs": [{"name": "x", "type": "ndarray", "shape": [1, 2]}]}
    worker = start(affine[0](), fixed)
    assert [a.status for a in worker.predict_all([{"x": np.ones((1, 2))}] * 3)] == [200] * 3
    assert worker.handler.archive.model.module.calls == 3


def test_inputs_that_are_no_arrays_stay_with_their_request(start_proven, affine):
    note = {"name": "note", "type": "str"}
    metadata = {
        **affine[1],
        "inputs": [*affine[1]["inputs"], note],
        "outputs": [{"name": "y"}, note],
    }
    worker = start_proven(affine[0](), metadata, sample={"x": rows(2)[0], "note": "two"})
    before = worker.handler.archive.model.module.calls
    answers = worker.predict_all([{"x": a, "note": str(len(a))} for a in rows(1, 3, 2)])
    assert [a.outputs["note"] for a in answers] == ["1", "3", "2"]
    assert worker.handler.archive.model.module.calls == before + 1


class Mean(torch.nn.Module):
    """Gives one number for the whole batch: its output cannot be split."""

    def forward(self, x):
        return x.mean()


def test_outputs_that_cannot_be_split_run_one_by_one(start, affine):
    metadata = {**affine[1], "outputs": [{"name": "y"}]}
    worker = start(Mean(), metadata)
    arrays = rows(1, 3, 2)
    answers = worker.predict_all([{"x": array} for array in arrays])
    assert [float(a.outputs["y"]) for a in answers] == [float(a.mean()) for a in arrays]


class TrailingSize(torch.nn.Module):
    """Gives the last axis of its input: requests of another width must not be mixed."""

    def forward(self, x):
        return torch.full((len(x), 1), x.shape[-1], dtype=torch.float32)


def test_requests_of_different_shapes_form_different_groups(start):
    metadata = {
        "inputs": [{"name": "x", "type": "ndarray", "shape": [-1, -1]}],
        "model_output_list": ["y"],
        "outputs": [{"name": "y"}],
    }
    worker = start(TrailingSize(), metadata)
    answers = worker.predict_all([{"x": np.ones((2, w), np.float32)} for w in (3, 5, 3, 7, 5)])
    assert [a.outputs["y"].tolist() for a in answers] == [[[w]] * 2 for w in (3, 5, 3, 7, 5)]


def test_transforms_see_one_request_each(start, affine):
    seen = []

    def note(data):
        seen.append(len(data["x"]))
        return {**data, "own": len(data["x"])}

    metadata = {**affine[1], "outputs": [{"name": "y"}, {"name": "own"}]}
    worker = start(affine[0](), metadata, lambda d: {**d, "own": len(d["x"])})
    answers = worker.predict_all([{"x": array} for array in rows(1, 3, 2)])
    assert [a.outputs["own"] for a in answers] == [1, 3, 2]


def fails(kind):
    def transform(data):
        if float(data["x"].max()) > 100:
            raise kind("private text")
        return data

    return transform


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("kind", [ValueError, SystemExit, RecursionError, AssertionError])
@pytest.mark.parametrize("place", ["pre_process", "post_process"])
def test_a_transform_may_raise_anything(start, affine, kind, place):
    transforms = [fails(kind), None] if place == "pre_process" else [None, fails(kind)]
    worker = start(affine[0](), affine[1], *transforms)
    answers = worker.predict_all([{"x": np.full((1, 2), v)} for v in (1.0, 101.0, 2.0)])
    assert [a.status for a in answers] == [200, 500, 200]
    assert answers[1].json["type"] == "TransformFailed"
    assert answers[1].json["message"].startswith(f"{place} raised {kind.__name__}")
    assert "private" not in answers[1].json["message"]


def test_out_of_memory_is_507(start, affine):
    worker = start(affine[0](), affine[1], fails(MemoryError))
    answer = worker.predict({"x": np.full((1, 2), 101.0)})
    assert (answer.status, answer.json["type"]) == (507, "OutOfMemory")


def test_real_out_of_memory_of_torch_is_507(start, affine):
    class Greedy(torch.nn.Module):
        def forward(self, x):
            return torch.empty(2**50, dtype=torch.uint8)

    answer = start(Greedy(), affine[1]).predict({"x": np.ones((1, 2))})
    assert (answer.status, answer.json["type"]) == (507, "OutOfMemory")


def test_a_transform_may_say_that_the_input_is_wrong(start, affine):
    def check(data):
        from eisen_deploy.serving import InvalidInput

        raise InvalidInput("x: is upside down")

    answer = start(affine[0](), affine[1], check).predict({"x": np.ones((1, 2))})
    assert (answer.status, answer.json["message"]) == (422, "x: is upside down")


def test_every_problem_of_a_request_is_listed(start, affine):
    metadata = {
        "inputs": [
            {"name": "x", "type": "ndarray", "shape": [-1, 2]},
            {"name": "k", "type": "ndarray[int64]", "shape": [1]},
            {"name": "s", "type": "str"},
        ],
        "model_input_list": ["x"],
    }
    worker = start(affine[0](), metadata)
    answer = worker.predict({"x": np.ones(3), "k": np.array([0.5]), "typo": 1})
    assert answer.status == 422
    assert len(answer.json["problems"]) == 4


class SameMemory(torch.nn.Module):
    """y = 2 x, always in the same memory."""

    def __init__(self):
        super().__init__()
        self.register_buffer("memory", torch.zeros(64, 2))

    def forward(self, x):
        return torch.mul(x, 2, out=self.memory[: len(x)])


class Twice:
    """Doubles an array of a batch, always in the same memory; an instance for each name."""

    def __init__(self, name):
        self.name = name
        self.memory = np.zeros((64, 2), np.float32)

    def __call__(self, data):
        value = np.asarray(data[self.name])
        data[self.name] = np.multiply(value, 2, out=self.memory[: len(value)])
        return data


REUSING = {
    "the model": (SameMemory(), None, None),
    "pre_processing": (torch.nn.Identity(), Twice("x"), None),
    "post_processing": (torch.nn.Identity(), None, Twice("y")),
    "all of them": (SameMemory(), Twice("x"), Twice("y")),
}


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("sample", [None, {"x": np.ones((2, 2), np.float32)}])
@pytest.mark.parametrize("what", REUSING)
def test_reused_memory_changes_no_other_reply(start_proven, affine, encode_oip, what, sample):
    worker = start_proven(REUSING[what][0], affine[1], *REUSING[what][1:], sample=sample)
    factor = 8 if what == "all of them" else 2
    headers = {"Content-Type": "application/json", "Accept": "application/x-npy"}
    for sizes in [(1, 1), (2, 1, 2, 1), (3,)]:
        arrays = rows(*sizes)
        raw = worker.post_all([encode_oip({"x": array}) for array in arrays])
        plain = [(headers, json.dumps({"x": array.tolist()}).encode()) for array in arrays]
        npy = worker.post_all(plain)
        for array, one, other in zip(arrays, raw, npy, strict=True):
            np.testing.assert_array_equal(one.outputs["y"], factor * array)
            np.testing.assert_array_equal(np.load(io.BytesIO(other.body)), factor * array)


class Remembers:
    """Two transforms with a state: the second one adds what the first has taken away."""

    mean = 0.0

    def pre(self, data):
        self.mean = data["x"].mean()
        return {**data, "x": data["x"] - self.mean}

    def post(self, data):
        return {**data, "y": data["y"] + self.mean}


def test_what_a_transform_remembers_is_of_the_same_request(start, affine, monkeypatch):
    worker = start(torch.nn.Identity(), affine[1])
    both = Remembers()
    archive = dataclasses.replace(
        worker.handler.archive, pre_processing=both.pre, post_processing=both.post
    )
    monkeypatch.setattr(worker.handler, "_loaded", archive)
    arrays = rows(1, 2, 1)
    for array, answer in zip(arrays, worker.predict_all([{"x": array} for array in arrays])):
        np.testing.assert_allclose(answer.outputs["y"], array, atol=1e-5)


def test_rows_of_one_output_that_share_memory_are_each_requests_own(start_proven):
    """Each row of an expanded tensor is the same memory; post-processing writes into it."""

    class Same(torch.nn.Module):
        def forward(self, x):
            return torch.ones(1, 2).expand(len(x), 2)

    def post(data):
        data["y"] += np.asarray(data["x"])
        return data

    metadata = {
        "inputs": [{"name": "x", "type": "ndarray", "shape": [-1, 2]}],
        "outputs": [{"name": "y", "type": "ndarray", "shape": [-1, 2]}],
    }
    worker = start_proven(Same(), metadata, None, post, sample={"x": np.ones((1, 2), np.float32)})
    arrays = rows(1, 1, 1)
    for array, answer in zip(arrays, worker.predict_all([{"x": array} for array in arrays])):
        np.testing.assert_array_equal(answer.outputs["y"], array + 1)


def described(shape, **outputs):
    return {
        "inputs": [{"name": "x", "type": "ndarray", "shape": shape}],
        "outputs": [
            {"name": name, "type": "ndarray", "shape": each} for name, each in outputs.items()
        ],
    }


class Findings(torch.nn.Module):
    """As many rows as there are positive numbers, in all images together."""

    def forward(self, x):
        return x[x > 0].reshape(-1, 1)


def test_findings_stay_with_their_request(start):
    worker = start(Findings(), described([-1, 2], y=[-1, 1]))
    answers = worker.predict_all([{"x": np.float32([[1, 2]])}, {"x": np.float32([[-1, -1]])}])
    assert [a.outputs["y"].tolist() for a in answers] == [[[1], [2]], []]


class Anchors(torch.nn.Module):
    """A table beside the answer, which has as many rows as there are requests by chance."""

    def forward(self, x):
        return x * 2, torch.tensor([[1.0, 2.0], [3.0, 4.0]])


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("shape", [[2, 2], [-1, 2], [-1, -1]])
def test_a_table_is_never_split(start_proven, shape):
    metadata = described([-1, 2], y=[-1, 2], anchors=shape)
    worker = start_proven(Anchors(), metadata, sample={"x": np.ones((2, 2), np.float32)})
    for answer in worker.predict_all([{"x": np.ones((1, 2), np.float32)}] * 2):
        assert answer.outputs["anchors"].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("count", [1, 2, 8, 33])
def test_a_batch_of_any_size_has_one_answer_a_row(worker, count):
    arrays = rows(*range(1, count + 1))
    answers = worker.predict_all([{"x": array} for array in arrays])
    assert [len(a.outputs["y"]) for a in answers] == list(range(1, count + 1))


def test_the_tests_run_the_code_of_this_repository():
    import eisen_deploy.serving

    assert "_eisen_serving" not in sys.modules
    assert eisen_deploy.serving.__file__.endswith("serving/__init__.py")
