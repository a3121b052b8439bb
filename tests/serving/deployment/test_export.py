"""``eisen-serve export``: what is refused, and what stays as it is."""

from __future__ import annotations

import shutil

import pytest
import torch

from eisen_deploy.packaging import EisenServingMAR
from eisen_deploy.serving.engines.deployment import rendering
from eisen_deploy.serving.engines.deployment.names import (
    image_problem,
    label_problem,
    make_label,
    storage_problem,
)


def test_files_that_are_there_are_not_replaced_unless_it_is_said(zoo, tmp_path, run_export):
    (tmp_path / "Dockerfile").write_text("mine")
    done = run_export([zoo / "seg.mar"], tmp_path)
    assert done.status == 2
    what = f"{tmp_path / 'Dockerfile'}: it is there already: --overwrite replaces it"
    assert done.complaints == [what]
    assert [path.name for path in tmp_path.iterdir()] == ["Dockerfile"]
    assert (tmp_path / "Dockerfile").read_text() == "mine"
    assert run_export([zoo / "seg.mar"], tmp_path, "--overwrite").status == 0
    assert (tmp_path / "Dockerfile").read_text() != "mine"


def test_every_file_is_named(zoo, tmp_path, run_export):
    done = run_export([zoo / "seg.mar"], tmp_path)
    assert set(done.output) == {str(path) for path in tmp_path.iterdir()}


def test_a_damaged_archive_is_refused_and_nothing_is_written(zoo, tmp_path, run_export):
    raw = bytearray((zoo / "seg.mar").read_bytes())
    raw[len(raw) // 2] ^= 1
    (tmp_path / "seg.mar").write_bytes(raw)
    (tmp_path / "there").mkdir()
    for folder in (tmp_path / "there", tmp_path / "new", tmp_path / "deep" / "new"):
        assert run_export([tmp_path / "seg.mar"], folder).status == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seg.mar", "there"]
    assert list((tmp_path / "there").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--name", "Seg"], "its name in Kubernetes, expected 1 to 47 small letters"),
        (["--name", "seg\nx: y"], "its name in Kubernetes"),
        (["--image", "seg:1.2\nUSER root"], "--image: expected the name of an image"),
        (["--image", "{{.Name}}"], "--image"),
        (["--storage-uri", "models/seg.mar"], "--storage-uri: expected an address"),
        (["--storage-uri", 's3://m/"\nx'], "--storage-uri"),
    ],
)
def test_names_that_are_none_are_refused(arguments, complaint, zoo, tmp_path, run_export):
    done = run_export([zoo / "seg.mar"], tmp_path, *arguments)
    assert done.status == 2
    assert complaint in done.complaints[0]
    assert list(tmp_path.iterdir()) == []


def test_what_is_for_one_archive_is_refused_for_two(zoo, tmp_path, run_export):
    done = run_export([zoo], tmp_path, "--name", "seg", "--storage-uri", "s3://models/seg.mar")
    assert done.status == 2
    assert len(done.complaints) == 3  # one name for both, and each of the options


def test_archives_that_need_different_libraries_need_an_image_each(tmp_path, run_export):
    packer = EisenServingMAR(None, None, {"inputs": []})
    for name, release in (("a", "1.16.0"), ("b", "1.15.0")):
        packer.pack(torch.nn.Identity(), tmp_path / "zoo", name, requirements=[f"scipy=={release}"])
    done = run_export([tmp_path / "zoo"], tmp_path / "out")
    assert done.status == 2
    (complaint,) = done.complaints
    assert complaint == "the archives require scipy==1.16.0 and scipy==1.15.0: one image each"


def test_without_jinja2_it_is_said_what_to_install(zoo, tmp_path, run_export, monkeypatch):
    monkeypatch.setattr(rendering, "jinja2", None)
    rendering._make_environment.cache_clear()
    done = run_export([zoo / "seg.mar"], tmp_path)
    assert done.status == 2
    assert done.complaints == ["Jinja2 is missing: pip install 'eisen-deploy-handler[export]'"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("model", "label"),
    [("seg", "seg"), ("Seg_v1.2", "seg-v1-2"), ("brain-T1", "brain-t1"), ("a_", "a")],
)
def test_models_and_what_they_are_called_in_kubernetes(model, label):
    assert make_label(model) == label
    assert label_problem(label) is None


@pytest.mark.parametrize("label", ["", "1seg", "seg-", "-seg", "Seg", "a" * 48, "a.b", "a\n", "ä"])
def test_what_nothing_can_be_called_in_kubernetes(label):
    assert "small letters" in label_problem(label)


@pytest.mark.parametrize(
    "image", ["seg", "seg:1.2", "hospital/ai/seg:1.2-rc_1", "registry.hospital.example:5000/seg"]
)
def test_images(image):
    assert image_problem(image) is None


@pytest.mark.parametrize("image", ["", "Seg", "seg:", "a b", "seg\n", "$(id)", "seg:-1", "a" * 256])
def test_no_images(image):
    assert image_problem(image) is not None


def test_addresses_from_which_kserve_fetches():
    assert storage_problem("s3://models/a%20b.mar?x=$y") is None
    assert storage_problem("s3://models/a b.mar") is not None


def test_a_model_whose_name_does_not_fit_needs_another_one(zoo, tmp_path, run_export):
    packer = EisenServingMAR(None, None, {"inputs": []})
    archive = packer.pack(torch.nn.Identity(), tmp_path / "zoo", "3d_unet")
    done = run_export([archive], tmp_path / "out")
    assert done.status == 2
    assert "3d_unet: its name in Kubernetes, expected" in done.complaints[0]
    assert "got '3d-unet': --name gives it another one" in done.complaints[0]
    assert run_export([archive], tmp_path / "out", "--name", "unet").status == 0


def test_folders_with_odd_names_are_shown_escaped(zoo, tmp_path, run_export):
    odd = tmp_path / "\x1b[31m"
    odd.mkdir()
    shutil.copy(zoo / "seg.mar", odd)
    done = run_export([odd / "seg.mar"], odd / "out")
    assert done.status == 0
    assert "\x1b" not in "".join(done.output)
