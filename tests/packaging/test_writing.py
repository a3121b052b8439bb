"""An archive appears whole or not at all, and nothing else is touched."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from eisen_deploy.packaging import (
    ArchiveExists,
    ArchiveNotWritten,
    EisenServingMAR,
    NotSerializable,
    _destination,
    _mar,
)
from eisen_deploy.packaging._contents import archive_folder
from eisen_deploy.packaging._pickles import pickler
from eisen_deploy.packaging._shared.archive import unpacked_folder, zips

STAGES = [
    "archive_folder.write_model",
    "archive_folder.pickle_files.write_pickle",
    "archive_folder.vendored.copy_handler",
    "archive_folder.vendored.copy_dill",
    "archive_folder.copy_extras",
    "archive_folder.write_manifest",
    "archive_folder.unpacked_folder.write",
    "archive_folder.unpacked_folder.verify",
    "zips.write",
    "zips.os.fsync",
    "_destination.move_into_place",
]


def _fail_in(monkeypatch, stage, error):
    def fail(*_, **__):
        raise error

    *owners, name = stage.split(".")
    owner = _mar
    for part in owners:
        owner = getattr(owner, part)
    monkeypatch.setattr(owner, name, fail)


@pytest.fixture
def zoo(tmp_path, packer, linear):
    """A destination with an archive and a stranger's file in it."""
    folder = tmp_path / "zoo"
    packer.pack(linear, folder)
    (folder / "stranger").write_bytes(b"theirs")
    return folder


def _state(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("stage", STAGES)
def test_a_refusal_at_any_stage_leaves_all_as_it_was(zoo, linear, monkeypatch, stage):
    before = _state(zoo)
    _fail_in(monkeypatch, stage, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/some/file"))
    packer = EisenServingMAR(dict, None, {})
    with pytest.raises(ArchiveNotWritten, match=r"model\.mar could not be written: No space") as e:
        packer.pack(linear, zoo, overwrite=True)
    assert "/some/file" in str(e.value)
    assert e.value.__cause__.errno == errno.ENOSPC
    with pytest.raises(ArchiveNotWritten):
        packer.pack(linear, zoo, "new")
    assert _state(zoo) == before


@pytest.mark.parametrize("stage", STAGES)
def test_an_interruption_at_any_stage_leaves_all_as_it_was(zoo, linear, monkeypatch, stage):
    before = _state(zoo)
    _fail_in(monkeypatch, stage, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        EisenServingMAR(dict, None, {}).pack(linear, zoo, overwrite=True)
    assert _state(zoo) == before


def test_a_folder_that_cannot_be_written_is_told(packer, linear, tmp_path, monkeypatch):
    denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path))
    _fail_in(monkeypatch, "_destination.Path.mkdir", denied)
    with pytest.raises(ArchiveNotWritten, match="Permission denied"):
        packer.pack(linear, tmp_path)


def test_a_file_that_vanishes_before_it_is_copied_is_told(packer, linear, tmp_path, monkeypatch):
    extra = tmp_path / "labels.txt"
    extra.write_text("x")
    monkeypatch.setattr(archive_folder.vendored, "copy_dill", lambda _: extra.unlink())
    with pytest.raises(ArchiveNotWritten, match=r"No such file.*labels\.txt"):
        packer.pack(linear, tmp_path / "out", additional_files=[extra])
    assert not list((tmp_path / "out").iterdir())


def test_files_that_change_while_they_are_packed_are_noticed(packer, linear, tmp_path, monkeypatch):
    write = unpacked_folder.write

    def write_and_damage(folder, about):
        digest = write(folder, about)
        (folder / "metadata.json").write_bytes(b"{}")
        return digest

    monkeypatch.setattr(unpacked_folder, "write", write_and_damage)
    with pytest.raises(ArchiveNotWritten, match=r"metadata\.json has 2 bytes"):
        packer.pack(linear, tmp_path)
    assert not list(tmp_path.iterdir())


def test_staging_is_private_hidden_and_beside_the_target(packer, linear, tmp_path, monkeypatch):
    seen = []
    write = zips.write

    def look_and_write(folder, path, **options):
        staging = folder.parent
        seen.append((staging.parent, staging.name, staging.stat().st_mode & 0o777))
        write(folder, path, **options)

    monkeypatch.setattr(zips, "write", look_and_write)
    packer.pack(linear, tmp_path)
    folder, name, mode = seen[0]
    assert (folder, mode) == (tmp_path, 0o700)
    assert name.startswith(".eisen-pack-")


def _without(monkeypatch, *calls):
    """Take away what a file system or a system need not have."""
    if "link" in calls:
        _fail_in(monkeypatch, "_destination.os.link", OSError(errno.EPERM, "no hard links"))
    if "renameat2" in calls:
        monkeypatch.setattr(_destination, "_rename_noreplace", lambda *_: errno.ENOSYS)


@pytest.mark.parametrize("missing", [[], ["link"], ["link", "renameat2"]])
def test_a_target_that_appears_meanwhile_is_not_replaced(
    packer, linear, tmp_path, monkeypatch, missing
):
    target = tmp_path / "model.mar"
    write = zips.write

    def write_late(folder, path, **options):
        write(folder, path, **options)
        target.write_bytes(b"theirs")

    monkeypatch.setattr(zips, "write", write_late)
    _without(monkeypatch, *missing)
    with pytest.raises(ArchiveExists):
        packer.pack(linear, tmp_path)
    assert _state(tmp_path) == {"model.mar": hashlib.sha256(b"theirs").hexdigest()}


@pytest.mark.parametrize("missing", [["link"], ["link", "renameat2"]])
def test_a_file_system_without_hard_links_will_do(packer, linear, tmp_path, monkeypatch, missing):
    _without(monkeypatch, *missing)
    assert packer.pack(linear, tmp_path).is_file()
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="renameat2 is a call of Linux")
def test_without_hard_links_linux_itself_sees_that_nothing_is_replaced(tmp_path, monkeypatch):
    """There is no time between looking and moving in which a target could appear."""
    _without(monkeypatch, "link")
    monkeypatch.setattr(_destination, "check_free", lambda _: None)
    (tmp_path / "ours").write_bytes(b"ours")
    (tmp_path / "target").write_bytes(b"theirs")
    with pytest.raises(ArchiveExists):
        _destination.move_into_place(tmp_path / "ours", tmp_path / "target", overwrite=False)
    assert (tmp_path / "target").read_bytes() == b"theirs"


def test_the_archive_is_on_the_disk_before_it_gets_its_name(packer, linear, tmp_path, monkeypatch):
    events = []
    fsync, link = os.fsync, os.link
    monkeypatch.setattr(os, "fsync", lambda fd: events.append("fsync") or fsync(fd))
    monkeypatch.setattr(os, "link", lambda *names: events.append("link") or link(*names))
    packer.pack(linear, tmp_path)
    assert events == ["fsync", "link", "fsync"]


def test_threads_may_pack_at_once(linear, tmp_path):
    namespace = {"__name__": "__main__"}
    exec("names = {'a', 'b'}\ndef pre(batch):\n    return {n: batch[n] for n in names}", namespace)
    packer = EisenServingMAR(namespace["pre"], None, {})
    with ThreadPoolExecutor(4) as pool:
        folders = [tmp_path / str(number) for number in range(12)]
        paths = list(pool.map(lambda folder: packer.pack(linear, folder), folders))
    assert len({path.read_bytes() for path in paths}) == 1
    assert pickler.dill.detect.globalvars.__module__ == "dill.detect"


# --- what was left behind -----------------------------------------------------------------

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
def test_what_was_left_behind_is_removed_and_nothing_that_it_points_to(
    packer, linear, tmp_path, left_behind
):
    packer.pack(linear, tmp_path)
    assert _names(tmp_path) == ["model.mar", "stranger"]
    assert (tmp_path / "stranger" / "data").read_bytes() == b"theirs"


@has_locks
def test_it_is_removed_even_if_then_nothing_is_packed(packer, tmp_path, left_behind):
    once = iter([None])  # so that it fails while it is written, and not before
    with pytest.raises(NotSerializable):
        packer.pack(_Packing(lambda: next(once)), tmp_path)
    assert _names(tmp_path) == ["stranger"]


@has_locks
def test_the_staging_folder_of_a_packer_that_lives_is_let_be(packer, linear, tmp_path):
    inner = _Packing(lambda: packer.pack(linear, tmp_path, "inner", overwrite=True))
    packer.pack(inner, tmp_path, "outer")
    assert _names(tmp_path) == ["inner.mar", "outer.mar"]


def test_what_only_looks_like_it_is_let_be(packer, linear, tmp_path):
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
def test_what_another_user_left_behind_is_let_be(
    packer, linear, tmp_path, left_behind, monkeypatch
):
    monkeypatch.setattr(os, "geteuid", lambda: left_behind.stat().st_uid + 1)
    packer.pack(linear, tmp_path)
    assert left_behind.is_dir()


@has_locks
@pytest.mark.parametrize("call", ["scandir", "open", "unlink", "rmdir"])
def test_what_cannot_be_removed_hinders_nobody(
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
def test_one_that_cannot_be_removed_does_not_keep_the_others(
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
def test_where_nothing_can_be_locked_nothing_is_swept(
    packer, linear, tmp_path, left_behind, monkeypatch
):
    """Nor can anybody sweep it: another machine may see locks where this one has none."""
    staged = []
    _fail_in(monkeypatch, "_destination.fcntl.flock", OSError(errno.ENOLCK, "no locks"))
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
def test_an_interruption_while_it_clears_up_leaves_it_to_the_next(
    packer, linear, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        _fail_in(patch, "_destination.shutil.rmtree", KeyboardInterrupt())
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


# --- processes ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torture(tmp_path_factory, python):
    if not sys.platform.startswith("linux"):
        pytest.skip("forks and reads /proc")
    script = Path(__file__).parent / "scripts" / "torture.py"
    return json.loads(python(script, tmp_path_factory.mktemp("torture")))


@pytest.mark.slow  # ten seconds
def test_processes_with_one_target_end_in_order(torture):
    races = torture["races"]
    assert races["replaced"] == [0] * 8
    assert races["made"] == [0] + [3] * 7
    assert set(races["found"]) <= set("01234567")
    assert races["left"] == []


@pytest.mark.slow  # ten seconds
def test_a_limit_on_file_sizes_is_told_wherever_it_strikes(torture):
    assert torture["limits"] == {"statuses": [4] * 6, "kept": True, "left": []}


@pytest.mark.slow  # ten seconds
def test_memory_does_not_grow_with_the_model(torture):
    assert torture["memory"]["size"] > 128 * 2**20
    assert torture["memory"]["grown"] < 64
