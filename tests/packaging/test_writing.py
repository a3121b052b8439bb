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
    _destination,
)
from eisen_deploy.packaging._contents import archive_folder
from eisen_deploy.packaging._pickles import pickler
from eisen_deploy.packaging._shared.archive import unpacked_folder, zips

from .failing_stage import fail_in

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


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("stage", STAGES)
def test_a_refusal_at_any_stage_leaves_all_as_it_was(zoo, linear, monkeypatch, stage):
    before = _state(zoo)
    fail_in(monkeypatch, stage, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/some/file"))
    packer = EisenServingMAR(dict, None, {})
    with pytest.raises(ArchiveNotWritten, match=r"model\.mar could not be written: No space") as e:
        packer.pack(linear, zoo, overwrite=True)
    assert "/some/file" in str(e.value)
    assert e.value.__cause__.errno == errno.ENOSPC
    with pytest.raises(ArchiveNotWritten):
        packer.pack(linear, zoo, "new")
    assert _state(zoo) == before


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("stage", STAGES)
def test_an_interruption_at_any_stage_leaves_all_as_it_was(zoo, linear, monkeypatch, stage):
    before = _state(zoo)
    fail_in(monkeypatch, stage, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        EisenServingMAR(dict, None, {}).pack(linear, zoo, overwrite=True)
    assert _state(zoo) == before


def test_a_folder_that_cannot_be_written_is_reported(packer, linear, tmp_path, monkeypatch):
    denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path))
    fail_in(monkeypatch, "_destination.Path.mkdir", denied)
    with pytest.raises(ArchiveNotWritten, match="Permission denied"):
        packer.pack(linear, tmp_path)


def test_a_file_that_vanishes_before_its_copy_is_reported(packer, linear, tmp_path, monkeypatch):
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
        fail_in(monkeypatch, "_destination.os.link", OSError(errno.EPERM, "no hard links"))
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
def test_packing_works_on_a_file_system_without_hard_links(
    packer, linear, tmp_path, monkeypatch, missing
):
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


# --- processes ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torture(tmp_path_factory, python):
    if not sys.platform.startswith("linux"):
        pytest.skip("forks and reads /proc")
    script = Path(__file__).parent / "scripts" / "torture.py"
    return json.loads(python(script, tmp_path_factory.mktemp("torture")))


@pytest.mark.slow  # ten seconds
def test_races_for_one_target_leave_one_whole_archive(torture):
    races = torture["races"]
    assert races["replaced"] == [0] * 8
    assert races["made"] == [0] + [3] * 7
    assert set(races["found"]) <= set("01234567")
    assert races["left"] == []


@pytest.mark.slow  # ten seconds
def test_a_limit_on_file_sizes_is_reported_wherever_it_strikes(torture):
    assert torture["limits"] == {"statuses": [4] * 6, "kept": True, "left": []}


@pytest.mark.slow  # ten seconds
def test_memory_does_not_grow_with_the_model(torture):
    assert torture["memory"]["size"] > 128 * 2**20
    assert torture["memory"]["grown"] < 64
