"""``serving=``: a file that YAML and JSON read alike, and refusals before anything is written."""

from __future__ import annotations

import json

import pytest
import torch
import yaml

from eisen_deploy.packaging import EisenServingMAR, InvalidArgument, InvalidServingOptions

ALL = {
    "workers": 2,
    "batch_size": 4,
    "batch_delay": 30,
    "response_timeout": 300,
    "startup_timeout": 600,
    "device": "cpu",
    "precision": "bfloat16",
    "compile": True,
    "self_test": False,
    "threads": 3,
}


def test_the_file_that_an_archive_gets(packer, linear, unpack, tmp_path):
    folder = unpack(packer.pack(linear, tmp_path, serving=ALL))
    text = (folder / "model-config.yaml").read_text("utf-8")
    assert yaml.safe_load(text) == json.loads(text)
    assert json.loads(text) == {
        "minWorkers": 2,
        "maxWorkers": 2,
        "batchSize": 4,
        "maxBatchDelay": 30,
        "responseTimeout": 300,
        "startupTimeout": 600,
        "deviceType": "cpu",
        "eisen": {
            "device": "cpu",
            "precision": "bfloat16",
            "compile": True,
            "self_test": False,
            "threads": 3,
        },
    }


def test_manifest_and_eisen_json_name_it(packer, linear, unpack, tmp_path):
    folder = unpack(packer.pack(linear, tmp_path, serving={"workers": 2}))
    manifest = json.loads((folder / "MAR-INF" / "MANIFEST.json").read_text())
    about = json.loads((folder / "eisen.json").read_text())
    assert manifest["model"]["configFile"] == "model-config.yaml"
    assert about["serving"] == "model-config.yaml"
    assert "model-config.yaml" in about["files"]


@pytest.mark.parametrize("serving", [None, {}], ids=repr)
def test_no_options_no_file(packer, linear, unpack, tmp_path, serving):
    folder = unpack(packer.pack(linear, tmp_path, serving=serving))
    assert not (folder / "model-config.yaml").exists()
    assert "configFile" not in (folder / "MAR-INF" / "MANIFEST.json").read_text()
    assert json.loads((folder / "eisen.json").read_text())["serving"] is None


def test_options_change_the_digest(packer, linear, unpack, tmp_path):
    digests = set()
    for workers in (1, 2):
        path = packer.pack(linear, tmp_path / str(workers), serving={"workers": workers})
        digests.add(json.loads((unpack(path) / "eisen.json").read_text())["digest"])
    assert len(digests) == 2


def test_every_problem_in_one_error_and_nothing_is_written(packer, linear, tmp_path):
    with pytest.raises(InvalidServingOptions) as caught:
        packer.pack(linear, tmp_path / "zoo", serving={"workers": 0, "wokers": 1, "device": "gpu"})
    assert isinstance(caught.value, InvalidArgument)
    assert len(caught.value.problems) == 3
    assert not (tmp_path / "zoo").exists()


def test_a_file_of_that_name_is_refused_as_an_extra(packer, linear, tmp_path):
    extra = tmp_path / "model-config.yaml"
    extra.write_text("minWorkers: 1")
    with pytest.raises(InvalidArgument, match=r"model-config\.yaml is a name that the archive"):
        packer.pack(linear, tmp_path / "zoo", additional_files=[extra])


@pytest.mark.parametrize("value", [True, "max-autotune"])
def test_torchscript_is_not_compiled(packer, traced, tmp_path, value):
    with pytest.raises(InvalidServingOptions, match=r"serving\.compile: .*TorchScript"):
        packer.pack(traced, tmp_path, serving={"compile": value})


def test_an_exported_program_keeps_its_types(packer, exported, tmp_path):
    with pytest.raises(InvalidServingOptions, match=r"serving\.precision: .*torch\.autocast"):
        packer.pack(exported, tmp_path, serving={"precision": "float16"})


def test_options_at_their_default_go_with_every_form(packer, form, tmp_path):
    serving = {"compile": False, "precision": "float32"}
    assert packer.pack(form[2], tmp_path, serving=serving).exists()


def test_what_only_our_handler_reads_needs_our_handler(traced, tmp_path):
    packer = EisenServingMAR(None, None, {}, handler="image_classifier")
    servers = {"workers": 2, "device": "cpu"}
    with pytest.raises(InvalidServingOptions) as caught:
        packer.pack(
            traced,
            tmp_path,
            serving={"precision": "float16", "self_test": False, "threads": 1, **servers},
        )
    named = [problem.partition(":")[0] for problem in caught.value.problems]
    assert named == ["serving.precision", "serving.self_test", "serving.threads"]
    assert packer.pack(traced, tmp_path, serving=servers).exists()


def test_why_an_exported_program_is_not_autocast(exported):
    """torch itself refuses: what was float32 when it was traced has to be that."""

    class Converting(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.Linear(3, 2)

        def forward(self, x):
            return self.inner(x).to(torch.float32)

    program = torch.export.export(Converting().eval(), (torch.ones(2, 3),))
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(RuntimeError, match="dtype"):
        program.module()(torch.ones(2, 3))
