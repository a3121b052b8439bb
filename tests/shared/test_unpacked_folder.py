"""``eisen.json``: whatever differs from what was packed is found, and named."""

from __future__ import annotations

import hashlib
import json
import py_compile
import shutil
from dataclasses import asdict

import pytest

from eisen_deploy.client._shared.archive import unpacked_folder
from eisen_deploy.client._shared.archive.batches import Batches
from eisen_deploy.client._shared.archive.requirements import render
from eisen_deploy.client._shared.errors import ContractError, CorruptArchive

MANIFEST = (
    b'{"runtime": "python", "archiverVersion": "0.12.0", "model": {"modelName": "seg", '
    b'"modelVersion": "1.0", "serializedFile": "model.pt", '
    b'"handler": "_eisen_serving.torchserve.entry"}}'
)
FILES = {
    "model.pt": b"weights" * 9,
    "metadata.json": b"{}",
    "MAR-INF/MANIFEST.json": MANIFEST,
    "_eisen_serving/handler.py": b"x = 1\n",
    "_eisen_serving/other.py": b"x = 2\n",
    "empty": b"",
    "requirements.txt": render(["monai==1.6.1"]),
}
ABOUT = {
    "model": {"name": "seg", "version": "1.0", "form": "eager", "file": "model.pt"},
    "transforms": {"pre_processing": None, "post_processing": None},
    "handler": None,
    "packed_with": {"python": "3.11.7"},
    "modules": {
        "nets": {"decision": "captured", "file": "_eisen_serving/other.py", "needed_by": "s\u00e9g"}
    },
    "requirements": ["monai==1.6.1"],
    "sample": None,
    "serving": None,
    "batches": asdict(Batches()),
}

SAMPLE_BODY = {"file": "model.pt", "json_size": 1}
STRAY_BODY = {"file": "not_listed", "json_size": 1}


@pytest.fixture
def archive(tmp_path):
    folder = tmp_path / "archive"
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    unpacked_folder.write(folder, ABOUT)
    return folder


def problems(archive):
    with pytest.raises(CorruptArchive) as caught:
        unpacked_folder.verify(archive)
    assert isinstance(caught.value, ContractError)
    return list(caught.value.problems)


def rewrite(archive, **changes):
    """Write an ``eisen.json`` that says something else and is right about itself."""
    said = {**json.loads((archive / "eisen.json").read_bytes()), **changes}
    said.pop("digest")
    text = json.dumps(said, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    said["digest"] = hashlib.sha256(text.encode()).hexdigest()
    text = json.dumps(said, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    (archive / "eisen.json").write_bytes(text.encode())


def test_what_is_written(archive):
    described = unpacked_folder.verify(archive)
    said = described.raw
    assert said == json.loads((archive / "eisen.json").read_bytes())
    assert described == unpacked_folder.read(archive)
    assert {key: said[key] for key in ABOUT} == ABOUT
    assert said.keys() == {*ABOUT, "format", "files", "digest"}
    assert said["format"] == 1
    assert said["files"] == {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        for name, data in FILES.items()
    }
    assert said["digest"] == unpacked_folder.write(archive, ABOUT)


def test_the_digest_is_that_of_the_rest(archive):
    said = json.loads((archive / "eisen.json").read_bytes())
    rewrite(archive)
    assert json.loads((archive / "eisen.json").read_bytes()) == said


def test_the_bytes_do_not_depend_on_order_or_place(archive, tmp_path):
    again = tmp_path / "again"
    for name in sorted(FILES, reverse=True):
        (again / name).parent.mkdir(parents=True, exist_ok=True)
        (again / name).write_bytes(FILES[name])
    unpacked_folder.write(again, dict(reversed(list(ABOUT.items()))))
    assert (again / "eisen.json").read_bytes() == (archive / "eisen.json").read_bytes()


def test_digest_changes_with_every_file(archive):
    digests = {unpacked_folder.write(archive, ABOUT)}
    for name, data in FILES.items():
        (archive / name).write_bytes(data + b"!")
        digests.add(unpacked_folder.write(archive, ABOUT))
    assert len(digests) == len(FILES) + 1


@pytest.mark.parametrize("name", FILES)
def test_missing(archive, name):
    (archive / name).unlink()
    assert problems(archive) == [f"{name} is missing"]


@pytest.mark.parametrize("name", ["added.py", "_eisen_serving/added.py", "new/eisen.json"])
def test_added(archive, name):
    (archive / name).parent.mkdir(exist_ok=True)
    (archive / name).write_bytes(b"")
    assert problems(archive) == [f"{name} does not belong to the archive"]


@pytest.mark.parametrize("name", [name for name in FILES if FILES[name]])
def test_one_bit_flipped_at_every_byte(archive, name):
    for place in range(len(FILES[name])):
        data = bytearray(FILES[name])
        data[place] ^= 1 << place % 8
        (archive / name).write_bytes(data)
        assert problems(archive) == [
            f"{name} was changed: its SHA-256 is not the one that was packed"
        ]


@pytest.mark.parametrize("name", [name for name in FILES if FILES[name]])
def test_truncated(archive, name):
    (archive / name).write_bytes(FILES[name][:-1])
    size = len(FILES[name])
    assert problems(archive) == [f"{name} has {size - 1} bytes, {size} were packed"]


def test_renamed(archive):
    (archive / "model.pt").rename(archive / "Model.pt")
    assert problems(archive) == ["model.pt is missing", "Model.pt does not belong to the archive"]


def test_swapped(archive):
    first, second = (
        archive / "_eisen_serving/handler.py",
        archive / "_eisen_serving/other.py",
    )
    first.write_bytes(FILES["_eisen_serving/other.py"])
    second.write_bytes(FILES["_eisen_serving/handler.py"])
    assert [text.split()[0] for text in problems(archive)] == [
        "_eisen_serving/handler.py",
        "_eisen_serving/other.py",
    ]


def test_swapped_with_another_archive(archive, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(archive, other)
    (other / "model.pt").write_bytes(b"WEIGHTS" * 9)
    unpacked_folder.write(other, ABOUT)
    unpacked_folder.verify(other)
    shutil.copy(other / "eisen.json", archive)
    assert problems(archive) == ["model.pt was changed: its SHA-256 is not the one that was packed"]


@pytest.mark.parametrize("place", ["inside", "outside"])
def test_symbolic_link_to_an_equal_file(archive, tmp_path, place):
    target = tmp_path / "model.pt" if place == "outside" else archive / "empty"
    shutil.move(archive / "model.pt", tmp_path / "model.pt")
    (archive / "model.pt").symlink_to(target)
    assert problems(archive) == ["model.pt is a symbolic link"]


def test_symbolic_link_to_a_folder(archive, tmp_path):
    shutil.move(archive / "_eisen_serving", tmp_path / "code")
    (archive / "_eisen_serving").symlink_to(tmp_path / "code")
    assert problems(archive) == [
        "_eisen_serving/handler.py is missing",
        "_eisen_serving/other.py is missing",
        "_eisen_serving does not belong to the archive",
    ]


def test_dangling_symbolic_link(archive):
    (archive / "model.pt").unlink()
    (archive / "model.pt").symlink_to("nowhere")
    assert problems(archive) == ["model.pt is a symbolic link"]


def test_everything_is_listed_at_once(archive):
    (archive / "empty").unlink()
    (archive / "added").write_bytes(b"")
    (archive / "model.pt").write_bytes(b"")
    (archive / "metadata.json").write_bytes(b"[]")
    assert len(problems(archive)) == 4


@pytest.mark.parametrize("mode", py_compile.PycInvalidationMode)
def test_byte_code_is_let_be_only_where_python_compares_it_with_its_source(archive, mode):
    source = archive / "_eisen_serving" / "handler.py"
    py_compile.compile(str(source), doraise=True, invalidation_mode=mode)
    assert list((source.parent / "__pycache__").glob("handler.*.pyc"))
    if mode is py_compile.PycInvalidationMode.TIMESTAMP:
        unpacked_folder.verify(archive)
        assert unpacked_folder.describe_files(archive).keys() == FILES.keys()
    else:
        with pytest.raises(CorruptArchive, match=r"handler.*pyc does not belong to the archive"):
            unpacked_folder.verify(archive)


@pytest.mark.parametrize("name", ["handler.py", "notes.pyc", "handler.so"])
def test_nothing_else_hides_in_a_byte_code_folder(archive, name):
    cache = archive / "_eisen_serving" / "__pycache__"
    cache.mkdir()
    (cache / name).write_bytes(b"four\x01\0\0\0")
    with pytest.raises(CorruptArchive, match=f"{name} does not belong to the archive"):
        unpacked_folder.verify(archive)


# --- eisen.json itself --------------------------------------------------------------------


@pytest.mark.slow  # a second or two
@pytest.mark.parametrize("bit", [1, 2, 0x20, 0x80])
def test_one_bit_of_eisen_json_flipped_at_every_byte(archive, bit):
    path = archive / "eisen.json"
    whole = path.read_bytes()
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= bit
        path.write_bytes(data)
        with pytest.raises(CorruptArchive):
            unpacked_folder.read(archive)
    path.write_bytes(whole)
    unpacked_folder.verify(archive)


def test_eisen_json_truncated_at_every_byte(archive):
    path = archive / "eisen.json"
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(CorruptArchive):
            unpacked_folder.verify(archive)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda raw: raw + b" ", id="space-after"),
        pytest.param(lambda raw: b" " + raw, id="space-before"),
        pytest.param(lambda raw: raw.replace(b"\n", b"\r\n"), id="other-line-breaks"),
        pytest.param(lambda raw: json.dumps(json.loads(raw)).encode(), id="other-layout"),
        pytest.param(lambda raw: raw.replace("\u00e9".encode(), b"\\u00e9"), id="escaped"),
        pytest.param(lambda raw: raw.replace(b'"1.0"', b'"1.1"'), id="another-version"),
        pytest.param(lambda raw: raw.upper(), id="upper-case"),
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda _: b"[]", id="a-list"),
        pytest.param(lambda _: b"{}", id="an-empty-object"),
        pytest.param(lambda _: b"\xff", id="not-utf8"),
        pytest.param(lambda _: b"[" * 10**5, id="deep"),
    ],
)
def test_eisen_json_changed(archive, change):
    path = archive / "eisen.json"
    path.write_bytes(change(path.read_bytes()))
    assert len(problems(archive)) == 1


def test_eisen_json_missing(archive):
    (archive / "eisen.json").unlink()
    assert problems(archive) == ["eisen.json cannot be read: No such file or directory"]


def test_eisen_json_is_a_folder(archive):
    (archive / "eisen.json").unlink()
    (archive / "eisen.json").mkdir()
    assert problems(archive) == ["eisen.json cannot be read: Is a directory"]


@pytest.mark.parametrize("number", [0, 2, "1", None, 1.5])
def test_unknown_format(archive, number):
    rewrite(archive, format=number)
    (text,) = problems(archive)
    assert text.startswith(f"eisen.json has format {number!r}, known here is 1: ")


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(None, id="null"),
        pytest.param([], id="a-list"),
        pytest.param({"model.pt": None}, id="an-entry-that-is-null"),
        pytest.param({"model.pt": {}}, id="an-entry-that-is-empty"),
        pytest.param({"model.pt": {"size": 63}}, id="an-entry-without-a-digest"),
    ],
)
def test_a_list_of_files_that_is_not_a_list_of_files(archive, files):
    rewrite(archive, files=files)
    assert problems(archive) == ["eisen.json does not list size and sha256 of each file"]


@pytest.mark.parametrize(
    "change",
    [
        {"model": None},
        {"model": {**ABOUT["model"], "form": "onnx"}},
        {"model": {**ABOUT["model"], "name": 1}},
        {"model": {**ABOUT["model"], "file": "../model.pt"}},
        {"transforms": {"pre_processing": None}},
        {"transforms": {"pre_processing": None, "post_processing": "/etc/passwd"}},
        {"transforms": {"pre_processing": None, "post_processing": ["model.pt"]}},
        {"handler": {"file": "model.pt"}},
        {"handler": {"file": "not_listed.py", "class": "C"}},
        {"handler": "x"},
        {"packed_with": None},
        {"modules": None},
        {"modules": {"nets": "captured"}},
        {"requirements": "monai"},
        {"requirements": [1]},
        {"sample": {}},
        {"sample": {"request": SAMPLE_BODY, "reply": SAMPLE_BODY, "tolerance": "0"}},
        {"sample": {"request": SAMPLE_BODY, "reply": {"file": "model.pt"}, "tolerance": 0}},
        {"sample": {"request": SAMPLE_BODY, "reply": STRAY_BODY, "tolerance": 0}},
        {"serving": {}},
        {"batches": None},
        {"batches": {"shared": True}},
        {"batches": {**asdict(Batches()), "shared": 1}},
        {"serving": "model-config.yaml"},
    ],
    ids=str,
)
def test_every_part_must_be_there_and_its_files_listed(archive, change):
    unpacked_folder.verify(archive)
    rewrite(archive, **change)
    (problem,) = problems(archive)
    assert problem.startswith("eisen.json does not give name, version, form and file of a model")


def test_a_list_that_names_files_outside(archive, tmp_path):
    (tmp_path / "secret").write_bytes(b"a")
    said = json.loads((archive / "eisen.json").read_bytes())["files"]
    entry = {"sha256": hashlib.sha256(b"a").hexdigest(), "size": 1}
    rewrite(archive, files={**said, "../secret": entry})
    assert problems(archive) == ["eisen.json: files: '../secret' has the part '..'"]
