"""What is inside an archive, for each form of a model."""

from __future__ import annotations

import json
import stat
import struct
import warnings
import zipfile
from importlib.metadata import version
from pathlib import Path

import dill
import numpy as np
import pytest
import torch

import eisen_deploy.serving
from eisen_deploy.packaging import EisenServingMAR, IncompleteInstallation
from eisen_deploy.packaging._contents import vendored
from eisen_deploy.packaging._shared.archive import eisen_json, unpacked_folder

METADATA = {"inputs": [], "note": "Gehirn \U0001f9e0", "spacing": [1, 2.5, None, True]}


@pytest.fixture
def archive(form, tmp_path):
    packer = EisenServingMAR(np.abs, dict, METADATA)
    extra = tmp_path / "labels.txt"
    extra.write_text("x")
    with zipfile.ZipFile(packer.pack(form[2], tmp_path, "seg", "7", [extra])) as opened:
        yield opened


def test_top_level_names(archive, form):
    top = {name.split("/")[0] for name in archive.namelist()}
    assert top == {
        "MAR-INF",
        "_eisen_serving",
        "dill",
        "eisen.json",
        "labels.txt",
        "metadata.json",
        form[1],
        "post_process_tform.pkl",
        "pre_process_tform.pkl",
    }


def test_the_manifest_has_what_torchserve_requires_and_no_time(archive, form):
    assert json.loads(archive.read("MAR-INF/MANIFEST.json")) == {
        "runtime": "python",
        "model": {
            "modelName": "seg",
            "serializedFile": form[1],
            "handler": "_eisen_serving.torchserve.entry",
            "modelVersion": "7",
        },
        "archiverVersion": version("torch-model-archiver"),
    }


def test_metadata_is_the_users_dict(archive):
    assert json.loads(archive.read("metadata.json").decode()) == METADATA


def test_eisen_json_says_what_was_packed_with_what(archive, form):
    about = json.loads(archive.read("eisen.json"))
    assert about["format"] == eisen_json.FORMAT
    name, file, _ = form
    about_model = {"name": "seg", "version": "7", "form": name, "file": file}
    assert about["model"] == {**about_model, "keywords": [], "training": []}
    assert about["transforms"] == {
        "pre_processing": "pre_process_tform.pkl",
        "post_processing": "post_process_tform.pkl",
    }
    assert about["handler"] is None
    assert about["packed_with"].keys() == {
        "python",
        "torch",
        "numpy",
        "dill",
        "eisen-deploy-packaging",
        "eisen-deploy-handler",
    }
    assert about["packed_with"]["torch"] == version("torch")
    assert set(about["files"]) == set(archive.namelist()) - {"eisen.json"}


@pytest.mark.quick_cases(1)
def test_the_digests_hold_after_unpacking(archive, tmp_path):
    archive.extractall(tmp_path / "unpacked")
    assert unpacked_folder.verify(tmp_path / "unpacked").model.name == "seg"


@pytest.mark.quick_cases(1)
def test_each_form_loads_and_predicts_the_same(archive, form, tmp_path):
    archive.extractall(tmp_path / "unpacked")
    path = tmp_path / "unpacked" / form[1]
    if form[0] == "eager":
        model = torch.load(path, map_location="cpu", pickle_module=dill, weights_only=False)
    elif form[0] == "torchscript":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            model = torch.jit.load(path)
    else:
        model = torch.export.load(path).module()
    batch = torch.linspace(-1, 1, 12).reshape(4, 3)
    original = form[2].module() if form[0] == "export" else form[2]
    assert torch.equal(model(batch), original(batch))


def test_the_handler_is_copied_byte_for_byte(archive):
    runtime = Path(next(iter(eisen_deploy.serving.__path__))) / "runtime"
    installed = {
        f"_eisen_serving/{path.relative_to(runtime).as_posix()}": path.read_bytes()
        for folder in (runtime, runtime / "_shared")  # which is a link
        for path in folder.rglob("*.py")
    }
    names = {name for name in archive.namelist() if name.startswith("_eisen_serving/")}
    assert names == set(installed)
    assert {
        "_eisen_serving/torchserve/entry.py",
        "_eisen_serving/_shared/archive/unpacked_folder.py",
    } <= names
    assert all(archive.read(name) == content for name, content in installed.items())


def test_dill_is_vendored_with_its_license_and_without_its_tests(archive):
    names = {name for name in archive.namelist() if name.startswith("dill/")}
    assert {"dill/__init__.py", "dill/_dill.py", "dill/LICENSE"} <= names
    assert all(name.count("/") == 1 for name in names)
    assert archive.read("dill/_dill.py") == Path(dill._dill.__file__).read_bytes()
    assert b"Redistribution and use in source and binary forms" in archive.read("dill/LICENSE")


def test_without_transforms_there_are_no_pickles_of_them(packer, exported, tmp_path):
    with zipfile.ZipFile(packer.pack(exported, tmp_path)) as opened:
        assert not [name for name in opened.namelist() if name.endswith(".pkl")]
        about = json.loads(opened.read("eisen.json"))
    assert about["transforms"] == {"pre_processing": None, "post_processing": None}


def test_example_inputs_do_not_travel(packer, exported, tmp_path):
    example = exported.example_inputs
    path = packer.pack(exported, tmp_path)
    assert struct.pack("<f", 0.777) * 3 not in path.read_bytes()
    assert exported.example_inputs is example
    assert torch.equal(example[0][0], torch.full((2, 3), 0.777))


def test_the_model_is_not_changed(linear, packer, tmp_path):
    linear.train()
    linear.register_forward_hook(lambda *_: None)
    before = dict(vars(linear))
    weights = {key: value.clone() for key, value in linear.state_dict().items()}
    packer.pack(linear, tmp_path)
    assert linear.training
    assert vars(linear) == before
    assert all(torch.equal(value, weights[key]) for key, value in linear.state_dict().items())


# --- the zip file itself ------------------------------------------------------------------


def test_entries_are_stored_sorted_and_carry_no_trace_of_this_machine(archive):
    entries = archive.infolist()
    assert [entry.filename for entry in entries] == sorted(archive.namelist())
    for entry in entries:
        assert entry.compress_type == zipfile.ZIP_STORED
        assert entry.date_time == (1980, 1, 1, 0, 0, 0)
        assert entry.create_system == 3
        assert entry.external_attr >> 16 == stat.S_IFREG | 0o644
        assert entry.extra == b""
    assert archive.testzip() is None


def test_local_headers_hold_sizes_and_no_data_descriptor(archive):
    """Java's ZipInputStream, which TorchServe reads with, takes stored entries only so."""
    raw = Path(archive.filename).read_bytes()
    position = 0
    for entry in archive.infolist():
        assert entry.header_offset == position  # nothing before, between or over entries
        header = struct.unpack_from("<4sHHHHHIIIHH", raw, position)
        signature, _, flags, method, _, _, crc, packed, size, name, extra = header
        assert (signature, flags & 0x08, method) == (b"PK\3\4", 0, 0)
        assert (crc, packed, size) == (entry.CRC, entry.file_size, entry.file_size)
        position += 30 + name + extra + packed
    assert raw[position : position + 4] == b"PK\1\2"


def test_the_archives_mode_follows_the_umask(packer, linear, tmp_path):
    import os

    previous = os.umask(0o027)
    try:
        path = packer.pack(linear, tmp_path)
    finally:
        os.umask(previous)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.stat().st_nlink == 1


# --- what must be installed ---------------------------------------------------------------


def test_a_missing_handler_distribution_is_named(packer, linear, tmp_path, monkeypatch):
    monkeypatch.setattr(vendored.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(IncompleteInstallation, match="eisen-deploy-handler is not installed"):
        packer.pack(linear, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_handler_without_its_entry_is_named(packer, linear, tmp_path, monkeypatch):
    monkeypatch.setattr(vendored, "_find_package", lambda *_: tmp_path)
    with pytest.raises(IncompleteInstallation, match=r"has no session\.py"):
        packer.pack(linear, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow  # a second or two
def test_packing_does_not_import_the_handlers_modules(python, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from eisen_deploy.packaging import EisenServingMAR\n"
        "from eisen_deploy.packaging._contents import vendored\n"
        "vendored.copy_handler(Path(sys.argv[1]))\n"
        "assert not [name for name in sys.modules if name.startswith('eisen_deploy.serving')]\n"
    )
    python(script, tmp_path)
    assert (tmp_path / "_eisen_serving" / "handler.py").is_file()
