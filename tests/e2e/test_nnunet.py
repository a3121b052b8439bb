"""A trained nnU-Net, packed by one command, gives the masks that nnU-Net itself writes.

nnU-Net runs in an environment of its own. The networks are small ones that are trained here by its
trainer; what is expected is what its predictor writes for files.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import nibabel
import numpy as np
import pytest

from eisen_deploy.client.cli import main

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SCRIPTS = HERE / "nnunet_folder"
RESULTS = "Dataset009_Abdomen/nnUNetTrainer__nnUNetPlans__3d_fullres"

pytestmark = [pytest.mark.slow, pytest.mark.torchserve]


@pytest.fixture(scope="module")
def nnunet_python(make_environment, server_python):
    """The interpreter of someone who trains with nnU-Net."""
    projects = [ROOT / "packages" / name for name in ("handler", "packaging")]
    editables = (f"--editable={project}" for project in projects)
    return make_environment("nnunet", "nnunetv2==2.8.1", *editables, over=server_python)


@pytest.fixture(scope="module")
def run(nnunet_python):
    """Run a command of that environment: ``run(program, *arguments, cwd=folder)``."""

    def _run(program, *arguments, cwd):
        command = [nnunet_python.with_name(program), *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)

    return _run


@pytest.fixture(scope="module")
def trained(run, tmp_path_factory):
    """Images, trained folders, and in ``eval`` of each what nnU-Net predicts."""
    folder = tmp_path_factory.mktemp("nnunet")
    done = run("python", SCRIPTS / "make.py", folder / "made", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "made"


@pytest.fixture(scope="module")
def archive(run, trained):
    """The folder with two folds, packed by one command."""
    options = ("--output", trained / "model_zoo", "--name", "abdomen")
    done = run(
        "eisen-pack", "import", "nnunet", trained / "labels" / RESULTS, *options, cwd=trained
    )
    assert done.returncode == 0, done.stderr
    assert "perform_everything" not in done.stdout
    return trained / "model_zoo" / "abdomen.mar"


@pytest.fixture(scope="module")
def about(run, archive):
    return json.loads(run("eisen-pack", "inspect", "--json", archive, cwd=archive.parent).stdout)


def test_a_trained_folder_becomes_metadata(about):
    volume = {"type": "ndarray[float32]", "shape": [1, 1, -1, -1, -1]}
    metadata = about["metadata"]
    assert metadata["inputs"] == [
        {"name": "image_0000", **volume},
        {"name": "image_0001", **volume},
        {"name": "image_0000_affine", "type": "ndarray[float64]", "shape": [1, 4, 4]},
    ]
    assert metadata["custom"]["segments"] == [
        {"number": 1, "label": "spleen", "code": "SCT:78961009", "output": "segmentation"},
        {"number": 2, "label": "tumour", "output": "segmentation"},
    ]
    assert metadata["custom"]["nnunet"]["folds"] == [0, 1]
    assert metadata["custom"]["nnunet"]["channel_names"] == {"0": "CT", "1": "PET"}
    assert "nnunetv2==2.8.1" in about["requirements"]
    assert about["sample"] is not None


def test_a_served_folder_gives_the_masks_that_nnunet_writes(
    trained, archive, about, serve_import, tmp_path
):
    with serve_import("nnunet", about["requirements"], archive, "abdomen") as url:
        for expected in sorted((trained / "labels" / "eval").glob("*.nii.gz")):
            case = trained / "images" / expected.name.removesuffix(".nii.gz")
            files = [f"image_{number:04}={case}_{number:04}.nii.gz" for number in range(2)]
            out = tmp_path / expected.name
            inputs = [word for file in files for word in ("--input", file)]
            assert main(["predict", url, *inputs, "--output", f"segmentation={out}"]) == 0
            compare(nibabel.load(out), nibabel.load(expected), numbers=[0, 1, 2])


def compare(mask, expected, numbers):
    values = np.asarray(mask.dataobj)
    np.testing.assert_array_equal(values, np.asarray(expected.dataobj))
    np.testing.assert_allclose(mask.affine, expected.affine, atol=1e-4)
    assert np.unique(values).tolist() == numbers


def test_variants_predict_as_nnunet_does(run, trained):
    done = run("python", SCRIPTS / "variants.py", trained, RESULTS, cwd=trained)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {
        "regions": [True, True],
        "one fold": True,
        "mirroring matters": True,
        "postprocessing": True,
        "cascade": [
            (
                "the configuration is a cascade, which needs the masks of 3d_lowres as well: pack "
                "another one, such as 3d_fullres"
            )
        ],
        "segments": None,
        "no affine": "the affine of an image must be finite, with no axis of length 0",
        "affine in micrometres": (
            "the affine of the image has voxels more than 1000 times as large as those the network "
            "was trained for: is it in millimetres?"
        ),
        "shapes": (
            "the channels of an image must have one shape, got [1, 1, 30, 27, 12], "
            "[1, 1, 29, 27, 12]"
        ),
        "remarks": [
            (
                "crossval/postprocessing.json is not applied to masks: give --postprocessing FILE "
                "for that"
            ),
            "no segments are declared: the labels are regions, which have no number each",
        ],
    }


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (
            {"reader": "Tiff3DIO"},
            (),
            "plans.json: image_reader_writer: expected one of SimpleITKIO",
        ),
        ({}, ("--folds", "0", "4"), "there is no fold_4/checkpoint_final.pth"),
        ({}, ("--weights", "model.pt"), "--weights is an option of monai-bundle, not of nnunet"),
    ],
)
def test_what_cannot_be_packed_is_refused(run, trained, tmp_path, change, options, message):
    folder = tmp_path / "results"
    shutil.copytree(trained / "regions" / RESULTS, folder)
    plans = json.loads((folder / "plans.json").read_text("utf-8"))
    plans["image_reader_writer"] = change.get("reader", plans["image_reader_writer"])
    (folder / "plans.json").write_text(json.dumps(plans), "utf-8")
    done = run("eisen-pack", "import", "nnunet", folder, *options, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
