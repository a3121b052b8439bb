"""``additional_files``: what travels, and what is refused."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from eisen_deploy.packaging import EisenServingMAR, InvalidFiles
from eisen_deploy.packaging._arguments.additional_files import copy_extras, find_extras
from eisen_deploy.packaging._shared.archive.names import portable_problem


def _tree(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.fsencode(name))
    return folder


def _problems(*paths, taken=()):
    with pytest.raises(InvalidFiles) as caught:
        find_extras(paths, taken)
    assert all(problem.startswith("additional_files") for problem in caught.value.problems)
    return "\n".join(caught.value.problems)


def test_files_and_folders_keep_their_structure(packer, linear, tmp_path):
    tree = _tree(
        tmp_path / "assets",
        "a.txt",
        "deep/er/b.bin",
        "deep/.hidden",
        "__pycache__/x.pyc",
        "q/json.py",
    )
    single = _tree(tmp_path, "labels.json") / "labels.json"
    given = (item for item in [str(tree), single])  # any iterable, once
    with zipfile.ZipFile(packer.pack(linear, tmp_path / "out", additional_files=given)) as opened:
        names = [name for name in opened.namelist() if name.startswith(("assets", "labels"))]
        assert opened.read("assets/deep/er/b.bin") == b"deep/er/b.bin"
    assert names == [
        "assets/a.txt",
        "assets/deep/.hidden",
        "assets/deep/er/b.bin",
        "assets/q/json.py",
        "labels.json",
    ]


def test_a_folder_goes_by_the_name_that_it_has_and_not_by_how_it_was_written(tmp_path, monkeypatch):
    _tree(tmp_path / "assets", "a.txt")
    monkeypatch.chdir(tmp_path / "assets")
    for path in (".", "../assets/", "../assets/../assets"):
        assert [extra.name for extra in find_extras([path])] == ["assets/a.txt"]


def test_permissions_do_not_travel_into_the_staging_folder(tmp_path):
    tree = _tree(tmp_path / "assets", "sub/a.txt")
    (tree / "sub" / "a.txt").chmod(0o444)
    (tree / "sub").chmod(0o555)
    try:
        copy_extras(find_extras([tree]), tmp_path / "staging")
    finally:
        (tree / "sub").chmod(0o755)
    copied = tmp_path / "staging" / "assets" / "sub"
    assert copied.stat().st_mode & (copied / "a.txt").stat().st_mode & 0o200


def test_the_destination_may_be_packed_itself(packer, linear, tmp_path):
    folder = _tree(tmp_path / "zoo", "a.txt")
    with zipfile.ZipFile(packer.pack(linear, folder, additional_files=[folder])) as opened:
        assert [name for name in opened.namelist() if name.startswith("zoo")] == ["zoo/a.txt"]


def test_no_additional_files():
    assert find_extras(None) == find_extras([]) == find_extras(iter(())) == []


def test_a_file_that_cannot_be_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "labels.json"
    path.write_text("{}")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read all
    assert "labels.json cannot be read: Permission denied" in _problems(path)


@pytest.mark.parametrize("paths", ["labels.json", Path("labels.json"), b"x", 3])
def test_a_single_path_is_not_split_into_characters(paths):
    with pytest.raises(InvalidFiles, match="expected a list of paths, got"):
        find_extras(paths)


def test_a_value_that_is_not_a_path_is_named_by_its_index():
    with pytest.raises(InvalidFiles) as caught:
        find_extras(["x", 3, None])
    assert caught.value.problems == (
        "additional_files[1]: expected a path, got int",
        "additional_files[2]: expected a path, got NoneType",
    )


@pytest.mark.parametrize(
    "name",
    [
        "MAR-INF/x",
        "_eisen_serving/torchserve/entry.py",
        "dill/x",
        "model.pt",
        "model.pt2",
        "metadata.json",
        "eisen.json",
        "pre_process_tform.pkl",
        "post_process_tform.pkl",
        "EISEN.json",
        "mar-inf/x",
    ],
)
def test_names_of_the_archive_are_refused(tmp_path, name):
    _tree(tmp_path, name)
    top = tmp_path / name.split("/")[0]
    assert f"{top.name} is a name that the archive itself uses" in _problems(top)


def test_the_name_of_the_handlers_file_is_refused(linear, tmp_path):
    handler = _tree(tmp_path, "my_handler.py") / "my_handler.py"
    handler.write_text("def handle(data, context): ...")
    with pytest.raises(InvalidFiles, match="archive itself uses"):
        EisenServingMAR(None, None, {}, handler).pack(
            linear, tmp_path / "out", additional_files=[handler]
        )


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("json.py", "json"),
        ("torch/x.py", "torch"),
        ("numpy.cpython-311-x86_64-linux-gnu.so", "numpy"),
        ("eisen_deploy/x", "eisen_deploy"),
        ("dill.py", "dill"),
        ("ts.pyc", "ts"),
        ("sitecustomize.py", "sitecustomize"),
        ("_socket.so", "_socket"),
    ],
)
def test_what_would_hide_a_module_is_refused(tmp_path, name, module):
    _tree(tmp_path, name)
    assert f"would hide the module {module}" in _problems(tmp_path / name.split("/")[0])


@pytest.mark.parametrize("name", ["json", "json.txt", "code.csv", "helpers.py", "torch_utils/x.py"])
def test_what_hides_nothing_is_taken(tmp_path, name):
    _tree(tmp_path, name)
    assert find_extras([tmp_path / name.split("/")[0]])[0].name == name


def test_equal_names_and_names_that_differ_by_case_or_composition(tmp_path):
    for folder, name in [("a", "x.txt"), ("b", "x.txt"), ("c", "X.TXT")]:
        _tree(tmp_path / folder, name)
    files = [tmp_path / "a" / "x.txt", tmp_path / "b" / "x.txt", tmp_path / "c" / "X.TXT"]
    problems = _problems(*files)
    assert "'x.txt' is there twice" in problems
    assert "'x.txt' differs from 'X.TXT' only by case or composition" in problems
    tree = _tree(tmp_path / "tree", "caf\u00e9", "cafe\u0301", "sub/A", "sub/a", "x/1", "X/2")
    problems = _problems(tree)
    assert problems.count("differs from") == 2
    assert "folders of 'tree/x/1' and 'tree/X/2' differ only by case or composition" in problems


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a\\b", f"holds {chr(92)!r}, which not every system allows"),
        ("a\nb", f"holds {chr(10)!r}, which"),
        ("a:b", "holds ':', which"),
        ("dot.", "ends in a dot or a space"),
        ("space ", "ends in a dot or a space"),
        ("aux.txt", "device on Windows"),
        ("COM\u00b9", "device on Windows"),
        (os.fsdecode(b"\xff"), "not every system allows"),
    ],
)
def test_names_that_are_not_portable(name, problem, tmp_path):
    tree = _tree(tmp_path / "tree", name)
    assert problem in _problems(tree)
    assert problem in _problems(tree / name)


def test_names_are_measured_in_bytes():
    assert portable_problem("\u00e4" * 127 + "x") is None
    assert portable_problem("\u00e4" * 128) == "is longer than 255 bytes"


def test_links_inside_a_folder_are_refused(tmp_path):
    secret = _tree(tmp_path, "secret.txt") / "secret.txt"
    tree = _tree(tmp_path / "tree", "a.txt")
    (tree / "out").symlink_to(secret)
    (tree / "round").symlink_to(tree)
    (tree / "gone").symlink_to(tmp_path / "nowhere")
    problems = _problems(tree)
    assert problems.count("is a symbolic link: pass what it points to") == 3
    assert "tree/out" in problems


def test_a_link_that_is_named_itself_is_followed(packer, linear, tmp_path):
    target = _tree(tmp_path / "store", "v1/a.txt") / "v1"
    link = tmp_path / "assets"
    link.symlink_to(target)
    with zipfile.ZipFile(packer.pack(linear, tmp_path / "o", additional_files=[link])) as opened:
        assert opened.read("assets/a.txt") == b"v1/a.txt"


def test_every_problem_is_reported_at_once(tmp_path):
    tree = _tree(tmp_path / "tree", "aux", "fine", "x:y")
    os.mkfifo(tree / "pipe")
    problems = _problems(tree, tmp_path / "missing", tmp_path / "tree" / "pipe", "/")
    assert len(problems.split("\n")) == 6
    assert "does not exist" in problems
    assert "is not a regular file" in problems
    assert "/ has no name" in problems
