"""Every mistake in an argument is refused before the model is touched and anything is written."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from eisen_deploy.packaging import (
    ArchiveExists,
    ArchiveNotWritten,
    EisenServingMAR,
    InvalidArgument,
    InvalidFiles,
    InvalidHandler,
    InvalidMetadata,
    InvalidRequirements,
    InvalidSample,
    InvalidServingOptions,
    NotSerializable,
    UnsupportedModel,
    create_metadata,
)

METADATA = create_metadata(["x"], ["ndarray"], [[-1, 3]], ["y"], ["ndarray"], [[-1, 3]])
SAMPLE = {"x": np.ones((1, 3), np.float32)}


class Large(torch.nn.Module):
    """640 MB of weights that nobody has touched, and that nobody may pickle."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(160_000_000))

    def forward(self, x):
        return x

    def __reduce_ex__(self, protocol):
        raise AssertionError("the model was pickled")


class Nameless(torch.nn.Module):
    def forward(self, *, volume):
        return volume


@pytest.fixture(scope="module")
def large():
    return Large()


@pytest.fixture
def arguments(tmp_path, large):
    """What can be packed, but for the model that refuses to be pickled."""
    (tmp_path / "a file").write_text("")
    return {
        "pre_processing": None,
        "post_processing": None,
        "meta_data": METADATA,
        "handler": None,
        "model": large,
        "dst_path": tmp_path / "zoo",
    }


def _pack(arguments):
    about = {
        name: arguments.pop(name)
        for name in ("pre_processing", "post_processing", "meta_data", "handler")
    }
    return EisenServingMAR(**about).pack(**arguments)


def _list_names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


MISTAKES = {
    "pre_processing": (3, InvalidArgument),
    "post_processing": ("softmax", InvalidArgument),
    "meta_data": ({"inputs": {1, 2}}, InvalidMetadata),
    "handler": ("missing.py", InvalidHandler),
    "model": (Nameless(), UnsupportedModel),
    "dst_path": (None, InvalidArgument),
    "model_name": ("a/b", InvalidArgument),
    "model_version": (1.0, InvalidArgument),
    "additional_files": (["missing"], InvalidFiles),
    "overwrite": ("no", InvalidArgument),
    "sample": ({"wrong": 1}, InvalidSample),
    "tolerance": (-1, InvalidSample),
    "code_paths": (["missing"], InvalidFiles),
    "requirements": (["scipy=="], InvalidRequirements),
    "serving": ({"workers": 0}, InvalidServingOptions),
    "progress": ("bar", InvalidArgument),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_refused_before_the_model_is_pickled(arguments, tmp_path, name):
    value, error = MISTAKES[name]
    before = _list_names(tmp_path)
    with pytest.raises(error, match=name) as caught:
        _pack({**arguments, name: value})
    assert type(caught.value) is error
    assert _list_names(tmp_path) == before


def test_nothing_is_missing_among_the_mistakes():
    from inspect import signature

    known = {*signature(EisenServingMAR).parameters, *signature(EisenServingMAR.pack).parameters}
    assert {*MISTAKES, "self"} == known


@pytest.mark.parametrize("where", ["a file", "a file/zoo", "a file/zoo/new", "\0"])
def test_a_destination_that_can_never_be_a_folder(arguments, tmp_path, where):
    before = _list_names(tmp_path)
    with pytest.raises(InvalidArgument, match="dst_path: "):
        _pack({**arguments, "dst_path": tmp_path / where})
    assert _list_names(tmp_path) == before


@pytest.mark.parametrize("where", ["", "zoo/new"])
def test_a_destination_that_cannot_be_written_into(arguments, tmp_path, monkeypatch, where):
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path)  # root may do all
    before = _list_names(tmp_path)
    with pytest.raises(ArchiveNotWritten, match="could not be written: Permission denied"):
        _pack({**arguments, "dst_path": tmp_path / where})
    assert _list_names(tmp_path) == before


def test_an_archive_that_is_there_already(arguments, tmp_path):
    (tmp_path / "model.mar").write_bytes(b"precious")
    before = _list_names(tmp_path)
    with pytest.raises(ArchiveExists, match="overwrite=True"):
        _pack({**arguments, "dst_path": tmp_path})
    assert _list_names(tmp_path) == before


@pytest.mark.parametrize("part", ["pre_processing", "post_processing"])
def test_a_transform_that_cannot_be_pickled_leaves_nothing(arguments, tmp_path, part):
    before = _list_names(tmp_path)
    arguments["model"] = torch.nn.Identity()
    with pytest.raises(NotSerializable, match=part):
        _pack({**arguments, part: (item for item in ()).__next__})
    assert _list_names(tmp_path) == before


def test_all_mistakes_are_reported_at_once(arguments):
    """Those of the constructor first, since no call of ``pack`` comes before it."""
    about = {"pre_processing", "post_processing", "meta_data", "handler"}
    for names in (about, MISTAKES.keys() - about):
        with pytest.raises(InvalidArgument) as caught:
            _pack({**arguments, **{name: MISTAKES[name][0] for name in names}})
        assert type(caught.value) is InvalidArgument
        named = [name for name in names if any(name in each for each in caught.value.problems)]
        assert sorted(named) == sorted(names)


def test_mistakes_of_one_kind_are_an_error_of_that_kind(arguments):
    with pytest.raises(InvalidSample) as caught:
        _pack({**arguments, "sample": [1], "tolerance": True})
    assert len(caught.value.problems) == 2
    with pytest.raises(InvalidFiles) as caught:
        _pack({**arguments, "additional_files": ["missing"], "code_paths": ["missing"]})
    assert len(caught.value.problems) == 2


def test_an_archive_that_is_there_is_reported_with_the_mistakes(arguments, tmp_path):
    (tmp_path / "model.mar").touch()
    with pytest.raises(InvalidArgument) as caught:
        _pack({**arguments, "dst_path": tmp_path, "sample": {"wrong": 1}})
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        f"{tmp_path / 'model.mar'} exists",
        "sample",
        "sample",
    ]


def test_what_is_right_is_packed(arguments):
    """The arguments are not refused for another reason."""
    assert _pack({**arguments, "model": torch.nn.Identity()}).is_file()
    with pytest.raises(NotSerializable, match="the model was pickled"):
        _pack({**arguments, "model_name": "large"})
