"""``eisen-pack diff``: every difference is shown, in its group, and nothing else is."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch

from eisen_deploy.packaging import EisenServingMAR, create_metadata
from eisen_deploy.packaging._shared.archive import unpacked_folder, zips
from eisen_deploy.packaging.cli import main

GROUPS = [
    *("metadata", "model", "transforms", "handler", "modules", "requirements"),
    *("versions", "serving", "sample", "files"),
]


@pytest.fixture
def pack(tmp_path):
    """Pack a model with all weights 0; options say how archive ``b`` differs from ``a``."""

    def run(name, *, metadata=None, pre=None, bias=0.0, handler=None, model=None, **options):
        packed = model or torch.nn.Linear(2, 2)
        for weights in packed.parameters():
            torch.nn.init.zeros_(weights)
        if bias:
            torch.nn.init.constant_(packed.bias, bias)
        packer = EisenServingMAR(pre, None, {} if metadata is None else metadata, handler)
        return packer.pack(packed, tmp_path / name, **options)

    return run


@pytest.fixture
def diff(capsys):
    """Compare as JSON, and return the groups that differ."""

    def run(a, b):
        status = main(["diff", "--json", str(a), str(b)])
        said = json.loads(capsys.readouterr().out)
        assert list(said) == ["a", "b", "same", "differences"]
        assert list(said["differences"]) == GROUPS
        assert said["same"] is (status == 0)
        assert said["a"]["archive"] == str(a)
        return {group: found for group, found in said["differences"].items() if found}

    return run


def test_no_difference(pack, diff, capsys):
    a, b = pack("a"), pack("b")
    assert diff(a, b) == {}
    assert main(["diff", str(a), str(b)]) == 0
    assert capsys.readouterr().out == ""


def test_metadata_by_the_path_of_each_value(pack, diff):
    def metadata(size):
        return create_metadata(["x"], ["ndarray"], [[-1, size]], ["y"], ["ndarray"], [[-1, 2]])

    a = pack("a", metadata={**metadata(2), "old": 1})
    b = pack("b", metadata={**metadata(3), "new": None})
    assert diff(a, b) == {
        "metadata": [
            {"what": "inputs[0].shape[1]", "a": 2, "b": 3},
            {"what": "old", "a": 1, "b": None},
            {"what": "new", "a": None, "b": None},
        ]
    }


def test_true_is_not_one(pack, diff):
    found = diff(pack("a", metadata={"x": True}), pack("b", metadata={"x": 1}))
    assert found["metadata"] == [{"what": "x", "a": True, "b": 1}]


def test_metadata_in_another_order(pack, diff):
    """The values are the same and the bytes are not: the file is shown."""
    found = diff(pack("a", metadata={"x": 1, "y": 2}), pack("b", metadata={"y": 2, "x": 1}))
    assert [difference["what"] for difference in found["files"]] == ["metadata.json"]


def test_weights_name_and_version(pack, diff):
    found = diff(pack("a"), pack("b", bias=1.0, model_name="n", model_version="2"))
    assert [difference["what"] for difference in found.pop("model")] == [
        "name",
        "version",
        "sha256",
    ]
    assert found == {}


def test_forms(pack, diff):
    exported = torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),))
    found = diff(pack("a"), pack("b", model=exported))
    what = {difference["what"] for difference in found["model"]}
    assert what == {"form", "file", "size", "sha256"}
    assert "files" not in found


def test_transforms(pack, diff):
    found = diff(pack("a", pre=copy.copy), pack("b", pre=dict))["transforms"]
    what = {difference["what"] for difference in found}
    assert what <= {"pre_processing.size", "pre_processing.sha256"}
    assert "pre_processing.sha256" in what
    (none,) = diff(pack("c"), pack("d", pre=copy.copy))["transforms"]
    assert none["a"] is None
    assert none["b"]["file"] == "pre_process_tform.pkl"


def handler(tmp_path, name, more=""):
    path = tmp_path / name / "own.py"
    path.parent.mkdir()
    path.write_text(
        "from eisen_deploy.serving import EisenServingHandler\n"
        f"class Own(EisenServingHandler):\n    '''{more}'''\n"
    )
    return path


def test_handlers(pack, diff, tmp_path):
    a, b = (pack(name, handler=handler(tmp_path, f"h{name}", name)) for name in "cd")
    found = diff(a, b)
    assert [difference["what"] for difference in found.pop("handler")] == ["sha256"]
    assert [difference["what"] for difference in found.pop("modules")] == ["own.py"]
    assert found == {}
    assert [difference["what"] for difference in diff(pack("e"), a)["handler"]] == [
        "file",
        "class",
        "sha256",
    ]


def code(tmp_path, folder, text):
    path = tmp_path / folder / "own_code.py"
    path.parent.mkdir()
    path.write_text(text)
    return [path]


def test_captured_code_line_by_line(pack, diff, tmp_path):
    a = pack("a", code_paths=code(tmp_path, "ca", "A = 1\nB = 2\n"))
    b = pack("b", code_paths=code(tmp_path, "cb", "A = 1\nB = 3\n"))
    (difference,) = diff(a, b)["modules"]
    assert difference["what"] == "captured_code/own_code.py"
    assert difference["diff"] == [
        "--- a/captured_code/own_code.py",
        "+++ b/captured_code/own_code.py",
        "@@ -1,2 +1,2 @@",
        " A = 1",
        "-B = 2",
        "+B = 3",
    ]


def test_code_that_is_there_once(pack, diff, tmp_path, capsys):
    a, b = pack("a"), pack("b", code_paths=code(tmp_path, "cb", "A = 1\n"))
    (difference,) = diff(a, b)["modules"]
    assert difference["a"] is None
    assert difference["diff"][-1] == "+A = 1"
    main(["diff", str(a), str(b)])
    assert "\n  +A = 1\n" in capsys.readouterr().out


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("content", [b"\xff\xfe", b"a\0b", b"x" * (2**20 + 1)])
def test_code_that_cannot_be_shown(pack, diff, tmp_path, content):
    path = tmp_path / "c" / "own_code.py"
    path.parent.mkdir()
    path.write_bytes(content)
    (difference,) = diff(pack("a"), pack("b", additional_files=[path]))["modules"]
    assert difference["diff"] is None
    assert len(difference["b"]) == 64


def test_requirements(pack, diff):
    a, b = pack("a", requirements=["filelock>=3"]), pack("b", requirements=["filelock>=2"])
    assert diff(a, b) == {
        "requirements": [
            {"what": "requirement", "a": "filelock>=3", "b": None},
            {"what": "requirement", "a": None, "b": "filelock>=2"},
        ]
    }


def test_serving_options(pack, diff):
    one, two = pack("a", serving={"workers": 1}), pack("b", serving={"workers": 2})
    assert diff(one, two) == {"serving": [{"what": "serving.workers", "a": 1, "b": 2}]}
    (none,) = diff(pack("c"), one)["serving"]
    assert none["a"] is None
    assert none["b"]["workers"] == 1


@pytest.mark.slow
def test_samples(pack, diff):
    def sample(value):
        return {"x": np.full((1, 2), value, np.float32)}

    metadata = create_metadata(["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]])
    a = pack("a", metadata=metadata, sample=sample(1))
    b = pack("b", metadata=metadata, sample=sample(2), tolerance=0.1)
    found = diff(a, b)
    assert [difference["what"] for difference in found.pop("sample")] == [
        "sample.request.sha256",
        "sample.tolerance",
    ]
    assert found == {}


def test_additional_files(pack, diff, tmp_path):
    (tmp_path / "labels.txt").write_text("a")
    a = pack("a", additional_files=[tmp_path / "labels.txt"])
    (tmp_path / "labels.txt").write_text("b")
    b = pack("b", additional_files=[tmp_path / "labels.txt"])
    (difference,) = diff(a, b).pop("files")
    assert difference["what"] == "labels.txt"
    assert difference["a"] != difference["b"]


def changed(path, target, change):
    """Write an archive anew, with other files and new digests."""
    folder = target.parent / f"{target.stem}-files"
    folder.mkdir()
    zips.unpack(path, folder)
    about = json.loads((folder / "eisen.json").read_text())
    said = {key: about[key] for key in about if key not in ("format", "files", "digest")}
    change(folder, said)
    unpacked_folder.write(folder, said)
    zips.write(folder, target)
    return target


def test_versions(pack, diff, tmp_path):
    def change(_, said):
        said["packed_with"]["torch"] = "1.0"

    a = pack("a")
    (difference,) = diff(a, changed(a, tmp_path / "b.mar", change))["versions"]
    assert (difference["what"], difference["b"]) == ("torch", "1.0")


def test_another_handler_of_ours_and_another_dill(pack, diff, tmp_path):
    def change(folder, _):
        (folder / "_eisen_serving" / "handler.py").write_text("")
        (folder / "_eisen_serving" / "new.py").write_text("")
        (folder / "dill" / "_dill.py").write_text("")

    a = pack("a")
    found = diff(a, changed(a, tmp_path / "b.mar", change))
    ours, dill = found.pop("files")
    assert ours["what"] == "_eisen_serving/"
    assert ours["a"].endswith(" files, 1 of them not in the other")
    assert ours["b"].endswith(" files, 2 of them not in the other")
    assert dill["what"] == "dill/"
    assert dill["a"] == dill["b"]
    assert found == {}


def test_the_same_digest_with_other_content_is_a_difference(pack, diff, tmp_path):
    """One of both is damaged: its own list says so, and the zip file's checksum does not."""
    (tmp_path / "labels.txt").write_text("a")
    a = pack("a", additional_files=[tmp_path / "labels.txt"])
    folder = tmp_path / "f"
    folder.mkdir()
    zips.unpack(a, folder)
    (folder / "labels.txt").write_text("b")
    zips.write(folder, tmp_path / "b.mar")
    (difference,) = diff(a, tmp_path / "b.mar")["files"]
    assert difference["what"] == "labels.txt"


def test_for_people(pack, capsys):
    a, b = pack("a", metadata={"x": "\x1b[2J"}), pack("b", metadata={"x": 1}, requirements=["dill"])
    assert main(["diff", str(a), str(b)]) == 1
    out = capsys.readouterr().out
    assert out.startswith('Metadata\n  x: "\\u001b[2J" -> 1\n\nRequirements\n')
    assert '\n  requirement: none -> "dill' in out
    assert all(char.isprintable() or char == "\n" for char in out)


def test_trouble(pack, tmp_path, capsys):
    (tmp_path / "b.mar").write_bytes(b"x")
    assert main(["diff", str(pack("a")), str(tmp_path / "b.mar")]) == 2
    assert f"{tmp_path / 'b.mar'}: " in capsys.readouterr().err
