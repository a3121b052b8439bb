"""A recorded sample, compared and replayed when an archive is loaded."""

from __future__ import annotations

import importlib
import json
import logging

import numpy as np
import pytest

from eisen_deploy.packaging import EisenServingMAR
from eisen_deploy.serving.engines.torchserve.launcher import LaunchFailed, TorchServe
from eisen_deploy.serving.runtime._shared.archive import unpacked_folder
from eisen_deploy.serving.runtime._shared.wire import protocol
from eisen_deploy.serving.runtime.answering import selftest
from eisen_deploy.serving.runtime.answering.comparison import compare, format_table
from eisen_deploy.serving.runtime.errors import LoadFailed, SelfTestFailed
from eisen_deploy.serving.runtime.session import InferenceSession

NAN, INF = float("nan"), float("inf")


def f32(*values):
    return np.array(values, np.float32)


# --- compare ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        (f32(1, 2), f32(1, 2)),
        (f32(1, 2), f32(1.0009, 2)),
        (f32(1000, 1), f32(1000, 1.9)),  # the largest number expected sets the scale
        (f32(NAN, INF, -INF, 0), f32(NAN, INF, -INF, 0)),
        (np.float16([1, 2]), np.float16([1, 2])),
        (np.float64(1.0), np.float64(1.0005)),
        (np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32)),
        (np.array(1.0), np.array(1.0)),
        (np.array([1 + 1j, NAN]), np.array([1 + 1.0009j, NAN])),
        (np.arange(2000), np.where(np.arange(2000) == 7, 0, np.arange(2000))),
        (np.zeros(1000, bool), np.arange(1000) == 1),
        (np.array(["a", "b"], object), np.array(["a", "b"], object)),
        (1.0, 1.0009),
        (NAN, NAN),
        ([1.0, {"score": 2.0}], [1.0005, {"score": 2.0}]),
        ("text", "text"),
        (None, None),
        (7, 7),
    ],
    ids=str,
)
def test_equal_values(expected, got):
    assert compare({"y": expected}, {"y": got}, 1e-3) == []


@pytest.mark.parametrize(
    ("expected", "got", "difference"),
    [
        (f32(1, 2), f32(1, 2.5), "0.5"),
        (f32(1, 2), f32(1, 2.0021), "0.00209999"),
        (f32(1, 2), f32(1, NAN), "NaN or infinity in 1 other places"),
        (f32(INF), f32(-INF), "NaN or infinity in 1 other places"),
        (f32(INF, 0), f32(1e30, 0), "NaN or infinity in 1 other places"),
        (f32(INF, 0), f32(INF, 1), "1"),  # an infinite number expected sets no scale
        (np.array([1e308]), np.array([-1e308]), "inf"),
        (np.array([1 + 1j]), np.array([1 + 3j]), "2"),
        (f32(1, 2), np.array([1.0, 2.0]), "another dtype"),
        (f32(1, 2), f32(1, 2, 3), "another shape"),
        (f32(1, 2), f32(1, 2)[None], "another shape"),
        (np.arange(2000), np.where(np.arange(2000) < 4, 9, np.arange(2000)), "4 of 2000 elements"),
        (np.zeros(3, bool), np.ones(3, bool), "3 of 3 elements"),
        (np.array(["a"] * 9999, object), np.array(["a"] * 9998 + ["b"], object), "1 of 9999"),
        (1.0, 1.1, "0.1"),
        (1.0, NAN, "NaN"),
        (1.0, 1, "another type"),
        (True, 1, "another type"),
        (None, "x", "another type"),
        (f32(1), [1.0], "another type"),
        (7, 8, "another value"),
        ("abc", "abd", "another value"),
        ("abc", "abcd", "another length"),
        ([1.0], [1.0, 1.0], "another length"),
    ],
    ids=str,
)
def test_differences_are_found(expected, got, difference):
    (found,) = compare({"y": expected}, {"y": got}, 1e-3)
    assert found.name == "y"
    assert found.difference.startswith(difference)


def test_a_tolerance_of_zero_asks_for_the_very_same():
    assert compare({"y": f32(1)}, {"y": np.nextafter(f32(1), f32(2))}, 0) != []
    assert compare({"y": f32(1)}, {"y": f32(1)}, 0) == []


def test_names_that_are_missing_or_new_differ():
    found = compare({"a": f32(1), "b": "text"}, {"a": f32(1), "c": 1}, 1e-3)
    assert [row[:3] for row in found] == [("b", "str of 4", "nothing"), ("c", "nothing", "int")]


def test_places_inside_lists_and_dicts_are_named():
    expected = {"y": [{"score": 1.0, "label": "a"}, {"score": 2.0}]}
    got = {"y": [{"score": 1.0, "label": "b"}, {"score": 3.0}]}
    assert [row.name for row in compare(expected, got, 1e-3)] == ["y[0].label", "y[1].score"]


@pytest.mark.parametrize("place", [0, 2**20 - 1, 2**20, -1])
@pytest.mark.parametrize("dtype", [np.float32, bool])
def test_every_place_of_a_large_array_is_compared(place, dtype):
    expected = np.zeros(2**21 + 5, dtype)
    got = expected.copy()
    got[place] = True
    assert len(compare({"y": expected}, {"y": got}, 0)) == 1


def test_at_most_fifty_differences_are_reported():
    expected, got = {"y": [0.0] * 100_000}, {"y": [1.0] * 100_000}
    assert len(compare(expected, got, 1e-3)) == 50


def test_texts_hold_no_values():
    found = compare({"y": "secret", "z": 424242}, {"y": "hidden", "z": 434343}, 1e-3)
    text = format_table(found)
    assert not any(value in text for value in ("secret", "hidden", "424242", "434343"))


def test_the_table_is_aligned():
    found = compare({"y": f32(1, 2), "label": "ab"}, {"y": f32(1, 3), "label": "a"}, 1e-3)
    assert format_table(found).splitlines() == [
        "name   expected     got          maximal difference",
        "y      float32 [2]  float32 [2]  1",
        "label  str of 2     str of 1     another length",
    ]


# --- replay -------------------------------------------------------------------------------


def write_body(folder, name, body):
    (folder / "sample").mkdir(exist_ok=True)
    (folder / name).write_bytes(b"".join(body.buffers))
    return {"file": name, "json_size": body.json_size}


def serve(folder):
    """Open an unpacked archive as a server does; return its handler."""
    return InferenceSession.open(folder).handler


def add_sample(folder, inputs, outputs, tolerance=1e-3):
    """Give an unpacked archive a sample, as if it had been packed with it."""
    reply = protocol.encode_reply(outputs, model_name="model", model_version="1.0")
    sample = {
        "request": write_body(folder, "sample/request.bin", protocol.encode_request(inputs)),
        "reply": write_body(folder, "sample/reply.bin", reply),
        "tolerance": tolerance,
    }
    about = json.loads((folder / "eisen.json").read_text())
    rest = {key: about[key] for key in about if key not in ("format", "files", "digest")}
    unpacked_folder.write(folder, {**rest, "sample": sample})
    return folder


@pytest.fixture
def sampled(unpack, affine, ones):
    """Unpack y = 2 x + 1 with a sample: ``sampled(outputs, **options) -> folder``."""

    def _sampled(outputs, pre=None, post=None, model=None, inputs=None, **options):
        folder = unpack(model or affine[0](), affine[1], pre, post, **options)
        return add_sample(folder, inputs or {"x": ones}, outputs)

    return _sampled


def test_a_sample_that_agrees_is_replayed_and_reported(sampled, caplog, ones):
    caplog.set_level(logging.INFO, "eisen_deploy.serving")
    handler = serve(sampled({"y": f32(3, 3)[None]}))
    assert handler.archive.model.module.calls == 1
    assert any("sample replayed in" in text and "as recorded" in text for text in caplog.messages)
    assert len(handler.handle({"x": ones})) == 1


def test_a_sample_that_differs_refuses_the_archive(sampled, caplog):
    with pytest.raises(SelfTestFailed) as caught:
        serve(sampled({"y": f32(3, 4)[None]}))
    assert isinstance(caught.value, LoadFailed)
    assert caught.value.differences == (("y", "float32 [1, 2]", "float32 [1, 2]", "1"),)
    first, *rest = caplog.messages[-1].splitlines()
    assert first == (
        "archive refused: the sample gets other outputs here than where it was packed: y"
    )
    assert rest == str(caught.value).splitlines()[1:]
    assert rest[1].split() == ["y", "float32", "[1,", "2]", "float32", "[1,", "2]", "1"]


def test_an_option_turns_the_self_test_off(sampled):
    handler = serve(sampled({"y": f32(9)}, serving={"self_test": False}))
    assert handler.archive.model.module.calls == 0


def test_an_archive_without_a_sample_is_not_tested(unpack, affine):
    assert serve(unpack(affine[0](), affine[1])).archive.model.module.calls == 0


def test_an_error_in_a_stage_is_reported_with_its_text(sampled):
    def fails(data):
        raise ValueError("the table has no row for it")

    expected = "the sample fails here: pre_process raised ValueError: the table has no row for it"
    with pytest.raises(SelfTestFailed, match=expected) as caught:
        serve(sampled({"y": f32(3, 3)[None]}, pre=fails))
    assert isinstance(caught.value.__cause__, ValueError)
    assert caught.value.differences == ()


def test_transforms_that_exit_are_refused_as_well(sampled):
    def exits(data):
        raise SystemExit(3)

    with pytest.raises(SelfTestFailed, match="post_process raised SystemExit: 3"):
        serve(sampled({"y": f32(3, 3)[None]}, post=exits))


def test_a_reply_that_the_metadata_forbids_is_refused(sampled):
    with pytest.raises(SelfTestFailed, match=r"encode raised InvalidOutput: .* gave no y"):
        serve(sampled({"y": f32(3, 3)[None]}, post=lambda data: {}))


def test_a_request_that_the_metadata_forbids_is_refused(sampled):
    with pytest.raises(SelfTestFailed, match="decode raised InvalidInput: x: is missing"):
        serve(sampled({"y": f32(3, 3)[None]}, inputs={"z": f32(1)}))


def test_a_reply_that_cannot_be_decoded_is_refused(sampled):
    folder = sampled({"y": f32(3, 3)[None]})
    about = json.loads((folder / "eisen.json").read_text())
    rest = {key: about[key] for key in about if key not in ("format", "files", "digest")}
    rest["sample"]["reply"]["json_size"] = 5
    unpacked_folder.write(folder, rest)
    with pytest.raises(SelfTestFailed, match="the sample cannot be read: "):
        serve(folder)


def test_a_damaged_sample_is_found_by_its_digest(sampled):
    folder = sampled({"y": f32(3, 3)[None]})
    (folder / "sample" / "reply.bin").write_bytes(b"{}")
    with pytest.raises(LoadFailed, match=r"sample/reply\.bin has 2 bytes"):
        serve(folder)


SUBCLASS = """
import json
from eisen_deploy.serving import EisenServingHandler

class Mine(EisenServingHandler):
    def initialize(self, ctx):
        super().initialize(ctx)
        self.shift = 10  # after the archive was loaded

    def post_process(self, data):
        return {"y": super().post_process(data)["y"] + self.shift}
"""

OWN_HANDLE = """
import json
from eisen_deploy.serving import EisenServingHandler

class Mine(EisenServingHandler):
    def handle(self, data):
        return [%s]
"""


def test_a_subclass_is_initialised_before_it_is_tested(sampled, tmp_path, ones):
    handler = tmp_path / "adds_ten.py"
    handler.write_text(SUBCLASS)
    folder = sampled({"y": f32(13, 13)[None]}, handler=handler)
    serve(folder)
    with pytest.raises(SelfTestFailed):
        serve(add_sample(folder, {"x": ones}, {"y": f32(3, 3)[None]}))


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    ("reply", "outputs"),
    [
        ("json.dumps({'answer': 42})", {"reply": {"answer": 42}}),
        ("b'\\x00\\xff'", {"reply": np.array([0, 255], np.uint8)}),
        ("{'y': data['x'] * 5}", {"y": f32(5, 5)[None]}),
        ("super().handle(data)[0]", {"y": f32(3, 3)[None]}),
    ],
    ids=["json", "bytes", "dict", "protocol"],
)
def test_an_overridden_handle_is_replayed_whatever_it_gives(
    sampled, tmp_path, ones, reply, outputs
):
    handler = tmp_path / f"own_{len(reply)}.py"
    handler.write_text(OWN_HANDLE % reply)
    folder = sampled(outputs, handler=handler)
    serve(folder)
    with pytest.raises(SelfTestFailed):
        serve(add_sample(folder, {"x": ones}, {"other": 1}))


def test_the_request_is_writable_and_fresh_at_each_replay(sampled):
    def doubles(data):
        data["x"] *= 2
        return data

    folder = sampled({"y": f32(5, 5)[None]}, pre=doubles)
    handler = serve(folder)
    assert selftest.replay(handler, folder, handler.archive.sample) == []


SHIFTING = """
import os
import torch

class Shifting(torch.nn.Module):
    def forward(self, x):
        return x + float(os.environ.get("SHIFT", "0"))  # set on one server only
"""


@pytest.mark.torchserve
def test_torchserve_serves_only_where_it_agrees(tmp_path, server_python, affine, monkeypatch):
    (tmp_path / "shifting.py").write_text(SHIFTING)
    monkeypatch.syspath_prepend(tmp_path)
    model = importlib.import_module("shifting").Shifting()
    packer = EisenServingMAR(None, None, affine[1])
    packer.pack(model, tmp_path / "store", sample={"x": f32(1, 2)[None]})

    def server_in(name):
        store = tmp_path / "store"
        return TorchServe(
            tmp_path / name, store, ["model.mar"], config={}, python=str(server_python)
        )

    with server_in("first") as server:
        server.wait_ready("model")
        assert "sample replayed in" in server.log_path.read_text()
    monkeypatch.setenv("SHIFT", "3")
    with server_in("second") as server:
        with pytest.raises(LaunchFailed, match=r"the sample gets other outputs here .*: y"):
            server.wait_ready("model")
        assert "maximal difference" in server.log_path.read_text()
