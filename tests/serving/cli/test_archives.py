"""Archives as ``eisen-serve`` takes them: copied, verified, and watched for changes."""

from __future__ import annotations

import os
import resource
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
import torch

from eisen_deploy.packaging import EisenServingMAR, create_metadata
from eisen_deploy.serving.engines.original_files import Originals
from eisen_deploy.serving.engines.served_archives import (
    BadArchives,
    check_copies,
    find_archives,
    verify,
)

ROWS = np.float32([[1, 2]])


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo")
    metadata = create_metadata(["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]])
    metadata["model_output_list"] = ["y"]
    packer = EisenServingMAR(None, None, metadata)
    for version, more in {"1": {}, "2": {"sample": {"x": ROWS}, "serving": {"workers": 2}}}.items():
        packer.pack(torch.nn.Identity(), folder / version, "seg", version, **more)
    return folder


@pytest.mark.slow
def test_what_is_known_of_an_archive(zoo):
    (plain,) = verify([zoo / "1" / "seg.mar"])
    assert (plain.name, plain.version, plain.url_part) == ("seg", "1", "seg")
    assert plain.sample is None
    assert not plain.has_options
    (rich,) = verify([zoo / "2" / "seg.mar"])
    assert rich.has_options
    assert rich.serving.workers == 2
    body, headers = rich.sample
    assert body.endswith(ROWS.tobytes())
    assert int(headers["Inference-Header-Content-Length"]) == len(body) - ROWS.nbytes


def test_two_versions_have_names_and_files_of_their_own(zoo, tmp_path):
    found = verify([zoo / "1" / "seg.mar", zoo / "2" / "seg.mar"], tmp_path / "store")
    assert [archive.url_part for archive in found] == ["seg/1", "seg/2"]
    assert [archive.store_name for archive in found] == ["seg-1.mar", "seg-2.mar"]
    assert [archive.copy for archive in found] == [
        tmp_path / "store" / archive.store_name for archive in found
    ]


def test_a_folder_stands_for_the_archives_in_it(tmp_path):
    for name in ("b.mar", "a.mar", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    other = tmp_path / "notes.txt"  # a file is taken as it is called
    assert find_archives([tmp_path, other]) == [tmp_path / "a.mar", tmp_path / "b.mar", other]
    with pytest.raises(BadArchives) as caught:
        find_archives([tmp_path, tmp_path / "empty", tmp_path / "nothere.mar"])
    assert caught.value.problems == (
        f"{tmp_path / 'empty'}: no archive (*.mar) is in this folder",
        f"{tmp_path / 'nothere.mar'}: No such file or directory",
    )


@pytest.fixture
def user_file(zoo, tmp_path):
    return Path(shutil.copy(zoo / "1" / "seg.mar", tmp_path / "seg.mar"))


@pytest.fixture
def served(user_file, tmp_path):
    (found,) = verify([user_file], tmp_path / "store")
    return found


def overwrite(path, content):
    with path.open("r+b") as file:  # the same inode, as `cp new old` does
        file.truncate()
        file.write(content)


def replace(path, content):
    (path.parent / "new").write_bytes(content)
    (path.parent / "new").replace(path)


@pytest.mark.parametrize("change", [overwrite, replace])
def test_what_was_verified_is_served_whatever_becomes_of_the_file(served, zoo, change):
    change(served.path, (zoo / "2" / "seg.mar").read_bytes())
    check_copies([served])
    assert served.copy.read_bytes() == (zoo / "1" / "seg.mar").read_bytes()
    served.path.unlink()
    check_copies([served])


def test_other_users_cannot_read_or_write_a_copy(served):
    assert stat.S_IMODE(served.copy.stat().st_mode) == 0o400
    assert stat.S_IMODE(served.copy.parent.stat().st_mode) == 0o700
    assert served.copy.stat().st_ino != served.path.stat().st_ino
    assert served.copy.stat().st_nlink == 1


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        pytest.param(lambda copy, _: copy.unlink(), "No such file", id="removed"),
        pytest.param(lambda copy, _: overwrite(copy, b"PK"), "not a zip file", id="cut-off"),
        pytest.param(overwrite, "was replaced", id="another"),
    ],
)
def test_a_copy_that_is_not_what_was_verified_is_never_started(served, zoo, spoil, why):
    served.copy.chmod(0o600)
    spoil(served.copy, (zoo / "2" / "seg.mar").read_bytes())
    with pytest.raises(BadArchives, match=why) as caught:
        check_copies([served])
    (problem,) = caught.value.problems
    assert problem.startswith(f"{served.path}: its private copy {served.copy}")


def test_what_is_copied_is_what_is_verified(user_file, tmp_path):
    raw = bytearray(user_file.read_bytes())
    raw[len(raw) // 2] ^= 1
    user_file.write_bytes(raw)
    with pytest.raises(BadArchives, match="CRC-32"):
        verify([user_file], tmp_path / "store")


def test_no_room_for_a_copy_is_reported_with_the_variable(user_file, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(BadArchives) as caught:
            verify([user_file], tmp_path / "store")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(caught.value) == (
        f"{user_file}: cannot be copied to {tmp_path / 'store'}: File too large: TMPDIR names "
        "another folder"
    )


# --- what is said of the user's files -----------------------------------------------------


@pytest.fixture
def told(served):
    """Change the user's file, look as often as it takes, and return what was said."""
    lines = []
    originals = Originals([served], lines.append)

    def _told(change):
        before = len(lines)
        change(served.path)
        for _ in range(4):
            originals.look()
        return lines[before:]

    return _told


def test_a_file_that_stays_as_it_is(told):
    assert told(lambda path: path.read_bytes()) == []


@pytest.mark.parametrize("change", [overwrite, replace])
def test_changed_content_is_reported_once_with_what_to_do(told, served, change):
    (line,) = told(lambda path: change(path, b"something else"))
    assert line.startswith(f"{served.path} has other content now: seg 1, sha-256 ")
    assert line.endswith("restart eisen-serve to serve what lies there then")
    assert told(lambda _: None) == []
    (again,) = told(lambda path: change(path, b"a third one"))
    assert "other content" in again


def test_other_content_of_the_same_size_and_time(told):
    def change(path):
        status = path.stat()
        raw = bytearray(path.read_bytes())
        raw[-1] ^= 1
        overwrite(path, raw)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    (line,) = told(change)
    assert "has other content now" in line


def test_a_touched_file_is_distinguished_from_a_changed_one(told):
    (line,) = told(lambda path: os.utime(path, (1, 1)))
    assert "only its time has changed, its content is what is served" in line


def test_a_file_replaced_by_an_equal_one(told):
    (line,) = told(lambda path: replace(path, path.read_bytes()))
    assert "replaced, its content is what is served: nothing is to be done" in line


def test_changed_permissions_and_links_are_not_reported(told):
    assert told(lambda path: path.chmod(0o600)) == []
    assert told(lambda path: os.link(path, path.parent / "backup.mar")) == []


def test_a_file_that_disappears_and_returns(told, zoo):
    (line,) = told(Path.unlink)
    assert "is no longer there (No such file or directory)" in line
    (line,) = told(lambda path: shutil.copy(zoo / "1" / "seg.mar", path))
    assert "its content is what is served" in line


def test_a_pipe_in_its_place_is_not_waited_for(told):
    def change(path):
        path.unlink()
        os.mkfifo(path)

    (line,) = told(change)
    assert "is not a regular file any more" in line


def test_a_file_is_left_alone_while_it_is_written(served):
    lines = []
    originals = Originals([served], lines.append)
    for size in range(1, 4):
        served.path.write_bytes(bytes(size))
        originals.look()
    assert lines == []
    originals.look()
    assert len(lines) == 1


def test_every_problem_is_reported_with_its_archive(zoo, tmp_path):
    good = zoo / "1" / "seg.mar"
    raw = bytearray(good.read_bytes())
    raw[len(raw) // 2] ^= 1
    (tmp_path / "bad.mar").write_bytes(raw)
    with pytest.raises(BadArchives) as caught:
        verify([good, tmp_path / "bad.mar", tmp_path / "none.mar", good])
    bad, missing, twice = caught.value.problems
    assert bad.startswith(f"{tmp_path / 'bad.mar'}: ")
    assert missing == f"{tmp_path / 'none.mar'}: No such file or directory"
    assert twice == f"{good}: seg 1 is in {good} as well: serve one of them"
