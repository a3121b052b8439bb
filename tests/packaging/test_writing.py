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

from eisen_deploy.packaging import (
    ArchiveExists,
    ArchiveNotWritten,
    EisenServingMAR,
    _mar,
    _pickling,
    _writer,
)

STAGES = [
    "_model.write",
    "_pickling.write",
    "_vendored.copy_handler",
    "_vendored.copy_dill",
    "copy_extras",
    "write_manifest",
    "contents.write",
    "contents.verify",
    "_writer.write_zip",
    "_writer.os.fsync",
    "_writer.move_into_place",
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
    _fail_in(monkeypatch, "_writer.tempfile.mkdtemp", denied)
    with pytest.raises(ArchiveNotWritten, match="Permission denied"):
        packer.pack(linear, tmp_path)


def test_a_file_that_vanishes_before_it_is_copied_is_told(packer, linear, tmp_path, monkeypatch):
    extra = tmp_path / "labels.txt"
    extra.write_text("x")
    monkeypatch.setattr(_mar._vendored, "copy_dill", lambda _: extra.unlink())
    with pytest.raises(ArchiveNotWritten, match=r"No such file.*labels\.txt"):
        packer.pack(linear, tmp_path / "out", additional_files=[extra])
    assert not list((tmp_path / "out").iterdir())


def test_files_that_change_while_they_are_packed_are_noticed(packer, linear, tmp_path, monkeypatch):
    write = _mar.contents.write

    def write_and_damage(folder, about):
        digest = write(folder, about)
        (folder / "metadata.json").write_bytes(b"{}")
        return digest

    monkeypatch.setattr(_mar.contents, "write", write_and_damage)
    with pytest.raises(ArchiveNotWritten, match=r"metadata\.json has 2 bytes"):
        packer.pack(linear, tmp_path)
    assert not list(tmp_path.iterdir())


def test_staging_is_private_hidden_and_beside_the_target(packer, linear, tmp_path, monkeypatch):
    seen = []
    write_zip = _writer.write_zip

    def look_and_write(folder, path):
        staging = folder.parent
        seen.append((staging.parent, staging.name, staging.stat().st_mode & 0o777))
        write_zip(folder, path)

    monkeypatch.setattr(_writer, "write_zip", look_and_write)
    packer.pack(linear, tmp_path)
    folder, name, mode = seen[0]
    assert (folder, mode) == (tmp_path, 0o700)
    assert name.startswith(".eisen-pack-")


@pytest.mark.parametrize("link", ["works", "fails"])
def test_a_target_that_appears_meanwhile_is_not_replaced(
    packer, linear, tmp_path, monkeypatch, link
):
    target = tmp_path / "model.mar"
    write_zip = _writer.write_zip

    def write_late(folder, path):
        write_zip(folder, path)
        target.write_bytes(b"theirs")

    monkeypatch.setattr(_writer, "write_zip", write_late)
    if link == "fails":
        _fail_in(monkeypatch, "_writer.os.link", OSError(errno.EPERM, "no hard links"))
    with pytest.raises(ArchiveExists):
        packer.pack(linear, tmp_path)
    assert _state(tmp_path) == {"model.mar": hashlib.sha256(b"theirs").hexdigest()}


def test_a_file_system_without_hard_links_will_do(packer, linear, tmp_path, monkeypatch):
    _fail_in(monkeypatch, "_writer.os.link", OSError(errno.ENOTSUP, "no hard links"))
    assert packer.pack(linear, tmp_path).is_file()
    assert len(list(tmp_path.iterdir())) == 1


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
    assert _pickling.dill.detect.globalvars.__module__ == "dill.detect"


# --- processes ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torture(tmp_path_factory, python):
    if not sys.platform.startswith("linux"):
        pytest.skip("forks and reads /proc")
    script = Path(__file__).parent / "scripts" / "torture.py"
    return json.loads(python(script, tmp_path_factory.mktemp("torture")))


def test_a_kill_leaves_the_old_archive_or_the_new_one(torture):
    kills = torture["kills"]
    assert set(kills["whole"]) == {True}
    assert kills["killed"] >= 8
    assert len(kills["whole"]) - kills["killed"] >= 4
    assert kills["left"], "no kill came while something was staged"
    assert all(name.startswith(".eisen-pack-") for name in kills["left"])
    assert kills["private"]


def test_processes_with_one_target_end_in_order(torture):
    races = torture["races"]
    assert races["replaced"] == [0] * 8
    assert races["made"] == [0] + [3] * 7
    assert set(races["found"]) <= set("01234567")
    assert races["left"] == []


def test_a_limit_on_file_sizes_is_told_wherever_it_strikes(torture):
    assert torture["limits"] == {"statuses": [4] * 6, "kept": True, "left": []}


def test_memory_does_not_grow_with_the_model(torture):
    assert torture["memory"]["size"] > 128 * 2**20
    assert torture["memory"]["grown"] < 64
