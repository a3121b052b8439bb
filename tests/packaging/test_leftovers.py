"""Staging folders that a killed packer left behind are removed, and nothing else is."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest
import torch

from eisen_deploy.packaging import (
    NotSerializable,
    _destination,
)

from .failing_stage import fail_in

has_locks = pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked")


@pytest.fixture
def left_behind(tmp_path):
    """A staging folder whose maker is dead, and in it a way to what is a stranger's."""
    folder = tmp_path / _destination._name_for("0123456789abcdef")
    (folder / "files").mkdir(parents=True)
    (folder / "files" / "model.pt").write_bytes(b"half a model")
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    (stranger / "data").write_bytes(b"theirs")
    (folder / "files" / "stranger").symlink_to(stranger)
    return folder


@has_locks
def test_leftovers_are_removed_and_nothing_that_they_link_to(packer, linear, tmp_path, left_behind):
    packer.pack(linear, tmp_path)
    assert _names(tmp_path) == ["model.mar", "stranger"]
    assert (tmp_path / "stranger" / "data").read_bytes() == b"theirs"


@has_locks
def test_leftovers_are_removed_even_if_packing_is_then_refused(packer, tmp_path, left_behind):
    once = iter([None])  # so that it fails while it is written, and not before
    with pytest.raises(NotSerializable):
        packer.pack(_Packing(lambda: next(once)), tmp_path)
    assert _names(tmp_path) == ["stranger"]


@has_locks
def test_the_staging_folder_of_a_running_packer_is_kept(packer, linear, tmp_path):
    inner = _Packing(lambda: packer.pack(linear, tmp_path, "inner", overwrite=True))
    packer.pack(inner, tmp_path, "outer")
    assert _names(tmp_path) == ["inner.mar", "outer.mar"]


def test_folders_that_only_look_like_leftovers_are_kept(packer, linear, tmp_path):
    right, file, link = (_destination._name_for(f"{number:016x}") for number in range(3))
    wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    names = [".eisen-pack-", ".eisen-pack-foo", wrong, right + "0", "x" + right, right[11:]]
    for name in [*names, "stranger"]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "data").write_bytes(b"theirs")
    (tmp_path / file).write_bytes(b"theirs")
    (tmp_path / link).symlink_to(tmp_path / "stranger")
    packer.pack(linear, tmp_path)
    assert _names(tmp_path) == sorted([*names, "stranger", file, link, "model.mar"])
    assert {(tmp_path / name / "data").read_bytes() for name in [*names, link]} == {b"theirs"}


@has_locks
def test_leftovers_of_another_user_are_kept(packer, linear, tmp_path, left_behind, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: left_behind.stat().st_uid + 1)
    packer.pack(linear, tmp_path)
    assert left_behind.is_dir()


@has_locks
@pytest.mark.parametrize("call", ["scandir", "open", "unlink", "rmdir"])
def test_leftovers_that_cannot_be_removed_do_not_stop_packing(
    packer, linear, tmp_path, left_behind, monkeypatch, call
):
    real = getattr(os, call)

    def fail_here(path, *arguments, **options):
        if str(path) in (str(tmp_path), str(left_behind), left_behind.name, "model.pt"):
            raise OSError(errno.EIO, "bad sector", str(path))
        return real(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail_here)
        packer.pack(linear, tmp_path)
    assert left_behind.is_dir()
    packer.pack(linear, tmp_path, overwrite=True)
    assert _names(tmp_path) == ["model.mar", "stranger"]


@has_locks
def test_one_leftover_that_cannot_be_removed_does_not_keep_the_others(
    packer, linear, tmp_path, left_behind, monkeypatch
):
    (tmp_path / _destination._name_for("another, as long")).mkdir()
    real, asked = _destination.fcntl.flock, []

    def fail_first(*arguments):
        asked.append(arguments)
        if len(asked) == 1:
            raise OSError(errno.EIO, "bad sector")
        real(*arguments)

    monkeypatch.setattr(_destination.fcntl, "flock", fail_first)
    packer.pack(linear, tmp_path)
    assert len(asked) == 3
    assert len(_names(tmp_path)) == len(["stranger", "model.mar", "one of the two"])


@has_locks
def test_nothing_is_removed_where_files_cannot_be_locked(
    packer, linear, tmp_path, left_behind, monkeypatch
):
    """Nor can anybody sweep it: another machine may see locks where this one has none."""
    staged = []
    fail_in(monkeypatch, "_destination.fcntl.flock", OSError(errno.ENOLCK, "no locks"))
    look = _Packing(lambda: staged.extend(_names(tmp_path)))
    packer.pack(look, tmp_path)
    (own,) = set(staged) - {left_behind.name, "stranger"}
    assert own.startswith(".eisen-pack-")
    assert not _destination._is_name(own)
    assert _names(tmp_path) == sorted([left_behind.name, "model.mar", "stranger"])


@has_locks
@pytest.mark.parametrize("call", ["os.open", "fcntl.flock"])
def test_a_folder_that_is_swept_before_it_is_locked_is_made_anew(
    packer, linear, tmp_path, monkeypatch, call
):
    swept, staged = [], []
    module, name = call.split(".")
    real = getattr(getattr(_destination, module), name)

    def sweep_and_call(*arguments, **options):
        if not swept:
            swept.extend(_names(tmp_path))
            (tmp_path / swept[0]).rmdir()
        return real(*arguments, **options)

    monkeypatch.setattr(getattr(_destination, module), name, sweep_and_call)
    look = _Packing(lambda: staged.__setitem__(slice(None), _names(tmp_path)))
    packer.pack(look, tmp_path)
    assert [_destination._is_name(name) for name in swept + staged] == [True, True]
    assert swept != staged
    assert _names(tmp_path) == ["model.mar"]


@has_locks
def test_an_interrupted_removal_is_finished_by_the_next_packer(
    packer, linear, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        fail_in(patch, "_destination.shutil.rmtree", KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            packer.pack(linear, tmp_path)
    assert len(_names(tmp_path)) == 2
    packer.pack(linear, tmp_path, overwrite=True)
    assert _names(tmp_path) == ["model.mar"]


class _Packing(torch.nn.Module):
    """A model that does something while it is being packed."""

    def __init__(self, work):
        super().__init__()
        self._work = work

    def forward(self, x):
        return x

    def __reduce__(self):
        self._work()
        return torch.nn.Identity, ()


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
