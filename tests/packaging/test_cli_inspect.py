"""``eisen-pack inspect``: what is inside, from the directory alone, and whether code can run."""

from __future__ import annotations

import copy
import io
import json
import subprocess
import sys
import zipfile

import pytest
import torch

from eisen_deploy.packaging import EisenServingMAR, create_metadata
from eisen_deploy.packaging._shared.archive import unpacked_folder, zips
from eisen_deploy.packaging.cli import main

KEYS = [
    *("archive", "size", "format", "digest", "model", "transforms", "handler", "loading"),
    *(
        "metadata",
        "modules",
        "requirements",
        "packed_with",
        "serving",
        "sample",
        "batches",
        "files",
    ),
]


@pytest.fixture
def inspect(capsys):
    """Inspect as JSON and return it."""

    def run(path):
        assert main(["inspect", "--json", str(path)]) == 0
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def failing(capsys):
    """Inspect what cannot be, and return the lines of the error."""

    def run(path):
        assert main(["inspect", str(path)]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        return said.err.splitlines()

    return run


@pytest.fixture
def repack(tmp_path):
    """Change the files of an archive as who can write one can: with new digests."""

    def run(path, change):
        folder = tmp_path / "repacked"
        folder.mkdir()
        zips.unpack(path, folder)
        about = json.loads((folder / "eisen.json").read_text())
        change(folder)
        said = {key: about[key] for key in about if key not in ("format", "files", "digest")}
        unpacked_folder.write(folder, said)
        target = tmp_path / "repacked.mar"
        zips.write(folder, target)
        return target

    return run


def test_every_key_and_what_it_holds(linear, tmp_path, inspect):
    metadata = create_metadata(["x"], ["ndarray"], [[-1, 3]], ["y"], ["ndarray"], [[-1, 2]])
    packer = EisenServingMAR(copy.copy, None, metadata)
    path = packer.pack(linear, tmp_path, "seg", "1.2", serving={"workers": 2, "device": "cpu"})
    said = inspect(path)
    assert list(said) == KEYS
    assert said["archive"] == "seg.mar"
    assert said["size"] == path.stat().st_size
    assert said["metadata"] == metadata
    assert said["format"] == 1
    assert said["sample"] is None
    with zipfile.ZipFile(path) as archive:
        about = json.loads(archive.read("eisen.json"))
        size = archive.getinfo("model.pt").file_size
    for key in ("digest", "modules", "requirements", "packed_with", "batches", "files"):
        assert said[key] == about[key]
    assert said["model"] == {
        "name": "seg",
        "version": "1.2",
        "form": "eager",
        "file": "model.pt",
        "keywords": [],
        "training": [],
        "size": size,
        "sha256": about["files"]["model.pt"]["sha256"],
    }
    assert said["transforms"]["post_processing"] is None
    assert said["transforms"]["pre_processing"]["file"] == "pre_process_tform.pkl"
    assert said["handler"] == {
        "entry": "_eisen_serving.torchserve.entry",
        "file": None,
        "class": None,
    }
    assert said["serving"]["workers"] == 2
    assert said["serving"]["batch_size"] is None
    assert said["serving"]["device"] == "cpu"


# --- whether code can run -----------------------------------------------------------------


def loading(inspect, path):
    said = inspect(path)["loading"]
    assert list(said) == ["can_run_code", "reasons", "unpickled", "handler_is_installed_here"]
    return said


def test_an_exported_program_without_transforms_unpickles_nothing(
    packer, exported, tmp_path, inspect
):
    assert loading(inspect, packer.pack(exported, tmp_path)) == {
        "can_run_code": False,
        "reasons": ["nothing in it is unpickled"],
        "unpickled": [],
        "handler_is_installed_here": True,
    }


def test_pickles_of_a_model_and_of_transforms(linear, tmp_path, inspect):
    said = loading(inspect, EisenServingMAR(copy.copy, copy.copy, {}).pack(linear, tmp_path))
    names = ["model.pt", "pre_process_tform.pkl", "post_process_tform.pkl"]
    assert said["can_run_code"]
    assert said["unpickled"] == names
    assert said["reasons"][:3] == [f"{name} is unpickled, and what it calls runs" for name in names]


def test_one_transform_is_enough(exported, tmp_path, inspect):
    said = loading(inspect, EisenServingMAR(None, copy.copy, {}).pack(exported, tmp_path))
    assert said["can_run_code"]
    assert said["unpickled"] == ["post_process_tform.pkl"]


def test_torchscript_is_a_program(packer, traced, tmp_path, inspect):
    said = loading(inspect, packer.pack(traced, tmp_path))
    assert said["reasons"] == ["model.pt is a TorchScript program"]
    assert (said["can_run_code"], said["unpickled"]) == (True, [])


def test_a_users_own_handler(exported, tmp_path, inspect):
    file = tmp_path / "own.py"
    file.write_text(
        "from eisen_deploy.serving import EisenServingHandler\n"
        "class Own(EisenServingHandler):\n    pass\n"
    )
    path = EisenServingMAR(None, None, {}, handler=file).pack(exported, tmp_path / "zoo")
    assert inspect(path)["handler"] == {
        "entry": "_eisen_serving.torchserve.entry",
        "file": "own.py",
        "class": "Own",
    }
    said = loading(inspect, path)
    assert said["can_run_code"]
    assert said["reasons"][0] == "the handler is Own of the archive"


def test_another_handler_checks_nothing(traced, tmp_path, inspect):
    path = EisenServingMAR(None, None, {}, handler="image_classifier").pack(traced, tmp_path)
    assert (
        "the handler is image_classifier, which checks no digest"
        in (loading(inspect, path)["reasons"])
    )


def test_code_files_that_something_may_import(packer, exported, tmp_path, inspect):
    for name in "abcde":
        (tmp_path / f"code_{name}.py").write_text("")
    files = [tmp_path / f"code_{name}.py" for name in "abcde"]
    said = loading(inspect, packer.pack(exported, tmp_path / "zoo", additional_files=files))
    assert said["can_run_code"]
    assert said["reasons"] == ["Python may import code_a.py, code_b.py, code_c.py and 2 more"]


def test_a_handler_that_is_not_ours_any_more(packer, exported, tmp_path, inspect, repack):
    def change(folder):
        with (folder / "_eisen_serving" / "handler.py").open("a") as file:
            file.write("import os\n")

    said = loading(inspect, repack(packer.pack(exported, tmp_path), change))
    assert said["can_run_code"]
    assert not said["handler_is_installed_here"]
    assert said["reasons"] == ["its eisen-deploy-handler is not the one that is installed here"]


def test_a_file_added_to_the_handler_is_not_ours(packer, exported, tmp_path, inspect, repack):
    path = repack(
        packer.pack(exported, tmp_path),
        lambda folder: (folder / "_eisen_serving" / "json.py").write_text("import os\n"),
    )
    assert loading(inspect, path)["can_run_code"]


def change_program(folder, **replaced):
    """Replace files inside of model.pt2 by their last name; ``None`` takes one out."""
    old = zipfile.ZipFile(io.BytesIO((folder / "model.pt2").read_bytes()))
    with zipfile.ZipFile(folder / "model.pt2", "w") as new:
        for name in old.namelist():
            content = replaced.get(name.rpartition("/")[2].replace(".", "_"), old.read(name))
            if content is not None:
                new.writestr(name, content)


def config(path_name, *, use_pickle):
    meta = {"path_name": path_name, "use_pickle": use_pickle}
    return json.dumps({"config": {"0.weight": meta}})


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    ("replaced", "told"),
    [
        ({"model_pt": b"x"}, "it holds sample inputs, which torch unpickles"),
        ({"archive_format": None}, "it is of an older format, in which torch unpickles"),
        (
            {"model_weights_config_json": config("weight_0", use_pickle=True)},
            "torch unpickles 1 of its weights and constants",
        ),
        (
            {"model_constants_config_json": config("opaque_obj_0", use_pickle=False)},
            "torch unpickles 1 of its weights and constants",
        ),
        ({"model_weights_config_json": b"[]"}, "it is not what torch.export.save writes now"),
        ({"model_weights_config_json": None}, "it is not what torch.export.save writes now"),
    ],
    ids=str,
)
def test_pickles_inside_of_an_exported_program(
    packer, exported, tmp_path, inspect, repack, replaced, told
):
    path = repack(
        packer.pack(exported, tmp_path), lambda folder: change_program(folder, **replaced)
    )
    said = loading(inspect, path)
    assert said["can_run_code"]
    assert said["reasons"] == [f"model.pt2: {told}"]


def test_a_program_that_is_no_zip_file(packer, exported, tmp_path, inspect, repack):
    path = repack(
        packer.pack(exported, tmp_path), lambda folder: (folder / "model.pt2").write_bytes(b"x")
    )
    assert loading(inspect, path)["can_run_code"]


# --- for people ---------------------------------------------------------------------------


def test_the_tables(linear, tmp_path, capsys):
    metadata = create_metadata(["x"], ["ndarray"], [[-1, 3]], ["y"], ["ndarray[int64]"], [[-1, 2]])
    path = EisenServingMAR(copy.copy, None, metadata).pack(
        linear, tmp_path, "seg", serving={"workers": 2}
    )
    assert main(["inspect", str(path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("seg.mar: seg 1.0\n  digest ")
    assert "\n  pre-processing   pre_process_tform.pkl, " in out
    assert "\n  post-processing  none\n" in out
    assert "\n  batches          run one by one: the archive was packed without a sample\n" in out
    assert "\nLoading it can run code\n  model.pt is unpickled" in out
    assert "\nInputs\n  x  ndarray  [-1, 3]\n" in out
    assert "\nOutputs\n  y  ndarray[int64]  [-1, 2]\n" in out
    assert "\n  workers           2\n  batch_size        the server's\n" in out
    assert "\n  _eisen_serving/ " in out
    assert "_eisen_serving/torchserve/entry.py" not in out
    assert "\n\n\n" not in out
    assert not out.endswith("\n\n")


def test_requirements_are_lines_for_pip(linear, packer, tmp_path, capsys):
    archive = packer.pack(linear, tmp_path, requirements=["zeta==1.5", "alpha>=2"])
    assert main(["inspect", "--requirements", str(archive)]) == 0
    assert capsys.readouterr().out == "alpha>=2\nzeta==1.5\n"


def test_no_code_but_the_handlers(packer, exported, tmp_path, capsys):
    assert main(["inspect", str(packer.pack(exported, tmp_path))]) == 0
    told = "\nLoading it runs no code but the handler's\n  nothing in it is unpickled\n"
    assert told in capsys.readouterr().out


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_nothing_in_an_archive_commands_the_terminal(linear, tmp_path, capsys, option):
    inputs = [{"name": "\x1b[2J\x9b", "type": "\r", "shape": []}]
    metadata = {"inputs": inputs, "custom": "\x07\u202e", "\x1b[A": 1}
    path = EisenServingMAR(None, None, metadata).pack(linear, tmp_path)
    assert main(["inspect", *option, str(path)]) == 0
    out = capsys.readouterr().out
    assert "[2J" in out
    assert all(char.isprintable() or char == "\n" for char in out)


def test_metadata_of_any_kind(linear, tmp_path, capsys):
    path = EisenServingMAR(None, None, {"inputs": "none", "a": list(range(200))}).pack(
        linear, tmp_path
    )
    assert main(["inspect", str(path)]) == 0
    out = capsys.readouterr().out
    assert '\n  inputs  "none"\n' in out
    assert "(--json shows all)" in out


# --- what it does not do ------------------------------------------------------------------


def test_neither_torch_nor_numpy_is_imported_and_the_model_is_not_read(linear, packer, tmp_path):
    path = packer.pack(linear, tmp_path)
    script = (
        "import sys\n"
        "from eisen_deploy.packaging.cli import main\n"
        "read = []\n"
        "status = [main(['inspect', sys.argv[1]]), main(['diff', sys.argv[1], sys.argv[1]])]\n"
        "heavy = {'torch', 'numpy', 'dill', 'tqdm', 'model_archiver'} & set(sys.modules)\n"
        "print(status, sorted(heavy))\n"
    )
    command = [sys.executable, "-W", "error", "-c", script, path]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[0, 0] []"


def test_the_largest_file_is_not_read(packer, tmp_path, inspect, monkeypatch):
    path = packer.pack(torch.nn.Linear(300, 300), tmp_path)
    read = []
    original = zips.read_file

    def watched(path, entry, limit):
        read.append(entry.name)
        return original(path, entry, limit)

    monkeypatch.setattr(zips, "read_file", watched)
    inspect(path)
    assert "eisen.json" in read
    assert "model.pt" not in read


# --- what is no archive -------------------------------------------------------------------


def test_no_file(failing, tmp_path):
    (line,) = failing(tmp_path / "no.mar")
    assert line == f"eisen-pack: {tmp_path / 'no.mar'}: No such file or directory"


def test_no_zip_file(failing, tmp_path):
    (tmp_path / "a.mar").write_bytes(b"text")
    (line,) = failing(tmp_path / "a.mar")
    assert line.startswith(f"eisen-pack: {tmp_path / 'a.mar'}: ")


def test_a_zip_file_that_is_not_ours(failing, tmp_path):
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "model.pt").write_bytes(b"x")
    zips.write(tmp_path / "f", tmp_path / "a.mar")
    (line,) = failing(tmp_path / "a.mar")
    assert "it has no eisen.json: Eisen-Deploy did not make it" in line


def test_files_that_eisen_json_does_not_know(packer, linear, tmp_path, failing):
    folder = tmp_path / "f"
    folder.mkdir()
    zips.unpack(packer.pack(linear, tmp_path), folder)
    (folder / "extra.txt").write_text("x")
    (folder / "metadata.json").write_text("{}")
    (folder / "model.pt").unlink()
    zips.write(folder, tmp_path / "a.mar")
    told = [line.rpartition(": ")[2] for line in failing(tmp_path / "a.mar")]
    assert told[0] == "model.pt is missing"
    assert told[1] == "extra.txt does not belong to the archive"
    assert told[2].startswith("metadata.json has 2 bytes, ")


def test_a_damaged_small_file(packer, linear, tmp_path, failing):
    path = packer.pack(linear, tmp_path)
    entry = next(entry for entry in zips.read(path) if entry.name == "metadata.json")
    raw = bytearray(path.read_bytes())
    raw[entry.offset] ^= 1
    path.write_bytes(raw)
    (line,) = failing(path)
    assert "'metadata.json' was changed" in line
