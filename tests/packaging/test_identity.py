"""The pickles of an archive are one graph of objects: what they share is one thing again."""

from __future__ import annotations

import pickletools
import sys
import types

import pytest
import torch

from eisen_deploy.packaging import EisenServingMAR, NotSerializable
from eisen_deploy.serving.runtime.archive.loading import load
from eisen_deploy.serving.runtime.errors import LoadFailed


def script(monkeypatch, text):
    """Run a text as the script of this process."""
    main = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    exec(text, vars(main))
    return main


@pytest.fixture
def packed(tmp_path, unpack):
    def made(pre, post, model=None):
        number = len(list(tmp_path.iterdir()))
        packer = EisenServingMAR(pre, post, {})
        return unpack(packer.pack(model or torch.nn.Identity(), tmp_path / f"archive {number}"))

    return made


SHARED = """
class Step:
    memory = {}
    def pre(self, d): return d
    def post(self, d): return d
step = Step()
"""
APART = """
import functools, numpy as np
def pre(d): return {**d, "x": np.clip(d["x"], 0, 1)}
def post(d): return {**d, "y": np.clip(d["y"], 0, 1), "z": functools.reduce(max, d["y"])}
"""


def test_methods_of_one_object_are_methods_of_one_object(packed, monkeypatch):
    step = script(monkeypatch, SHARED).step
    loaded = load(packed(step.pre, step.post))
    assert loaded.pre_processing.__self__ is loaded.post_processing.__self__
    assert type(loaded.pre_processing.__self__).memory == {}


def test_a_parameter_and_the_memory_of_a_buffer_stay_those_of_the_model(packed):
    model = torch.nn.BatchNorm1d(4).eval()
    holder = torch.nn.ParameterList([model.weight])
    part = torch.nn.Identity()
    part.register_buffer("part", model.running_mean[1:3])
    loaded = load(packed(holder.forward, part.forward, model))
    module = loaded.model.module
    assert next(loaded.pre_processing.__self__.parameters()) is module.weight
    loaded.post_processing.__self__.part += 1
    assert module.running_mean.tolist() == [0, 1, 1, 0]


def persistent(folder, name):
    codes = pickletools.genops((folder / name).read_bytes())
    return sum(opcode.name == "BINPERSID" for opcode, _, _ in codes)


def test_a_file_refers_to_another_only_for_what_bears_identity(packed, monkeypatch):
    main = script(monkeypatch, APART)
    folder = packed(main.pre, None)
    assert persistent(folder, "pre_process_tform.pkl") == 0
    main = script(monkeypatch, APART)
    folder = packed(main.pre, main.post)
    assert persistent(folder, "pre_process_tform.pkl") == 0


def test_a_file_that_shares_objects_is_not_read_without_the_other(packed, monkeypatch):
    from pathlib import Path

    from eisen_deploy.serving.runtime.archive import loading

    step = script(monkeypatch, SHARED).step
    folder = packed(step.pre, step.post)
    assert persistent(folder, "post_process_tform.pkl") > 0
    with pytest.raises(LoadFailed, match=r"shares objects with pre_process_tform\.pkl"):
        loading._load_transform(Path(folder), "post_process_tform.pkl", {})


def test_shared_objects_give_the_same_bytes(tmp_path, monkeypatch):
    raw = set()
    for number in range(2):
        step = script(monkeypatch, SHARED).step
        packer = EisenServingMAR(step.pre, step.post, {})
        raw.add(packer.pack(torch.nn.Identity(), tmp_path / str(number)).read_bytes())
        step.pre({})
        raw.add(packer.pack(torch.nn.Identity(), tmp_path / f"{number} again").read_bytes())
    assert len(raw) == 1


def test_an_object_that_stays_here_is_named_with_its_place(tmp_path, monkeypatch):
    text = "import threading\nclass Scale:\n    def __call__(self, d): return d\n"
    main = script(monkeypatch, f"{text}scale = Scale()\nscale.inner = {{'clock': None}}\n")
    main.scale.inner["clock"] = main.threading.Timer(1, print)
    with pytest.raises(NotSerializable) as caught:
        EisenServingMAR(main.scale, None, {}).pack(torch.nn.Identity(), tmp_path)
    assert "(at item 'clock', attribute inner of Scale)" in str(caught.value)
    assert "make it where it is used" in str(caught.value)
