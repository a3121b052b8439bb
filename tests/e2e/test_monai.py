"""MONAI's transforms and bundles: packed as they are, and answered as MONAI itself does.

MONAI runs in an environment of its own. The bundle is a small one that is trained here; what is
expected is what ``monai.bundle run`` writes for it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from eisen_deploy.client.cli import main

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SCRIPTS = HERE / "monai_bundle"
sys.path.insert(0, str(ROOT / "tests"))
from documented_pages import code_of, commands_of  # noqa: E402


@pytest.fixture(scope="module")
def monai_python(make_environment, server_python):
    """The interpreter of someone who trains with MONAI."""
    projects = [ROOT / "packages" / name for name in ("handler", "packaging")]
    return make_environment(
        "monai",
        *("monai==1.6.1", "nibabel", "pytorch-ignite", "fire"),  # the latter run bundles
        *(f"--editable={project}" for project in projects),
        over=server_python,
    )


@pytest.fixture(scope="module")
def run(monai_python):
    """Run a command of that environment: ``run(*arguments, cwd=folder) -> its output``."""

    def _run(*arguments, cwd, program="python"):
        command = [monai_python.with_name(program), *map(str, arguments)]
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return _run


@pytest.fixture(scope="module")
def bundle(run, tmp_path_factory):
    """A bundle with images, and in ``eval`` what MONAI predicts for them."""
    folder = tmp_path_factory.mktemp("bundles") / "spleen_ct_segmentation"
    run(SCRIPTS / "make.py", folder, cwd=folder.parent)
    config = ("--meta_file", "configs/metadata.json", "--config_file", "configs/inference.json")
    run("-m", "monai.bundle", "run", *config, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def archive(run, bundle):
    """The bundle, packed by the command of the page."""
    (command,) = commands_of("monai")
    program, *arguments = command.split()
    run(*arguments, cwd=bundle.parent, program=program)
    return bundle.parent / "model_zoo" / "spleen.mar"


@pytest.fixture(scope="module")
def metadata(run, archive):
    found = json.loads(run("inspect", "--json", archive, cwd=archive.parent, program="eisen-pack"))
    return found["metadata"] | {"of": found}


def test_a_bundle_becomes_metadata(metadata):
    assert metadata["inputs"] == [
        {"name": "image", "type": "ndarray[float32]", "shape": [-1, 1, -1, -1, -1]},
        {"name": "image_affine", "type": "ndarray[float64]", "shape": [-1, 4, 4]},
    ]
    assert metadata["outputs"] == [
        {"name": "pred", "type": "ndarray", "shape": [-1, -1, -1, -1, -1]}
    ]
    assert metadata["custom"]["segments"] == [
        {"number": 1, "label": "spleen", "code": "SCT:78961009", "output": "pred"}
    ]
    assert metadata["custom"]["monai"]["version"] == "0.5.2"
    about = metadata["of"]
    assert (about["model"]["name"], about["model"]["version"]) == ("spleen", "0.5.2")
    names = {text.partition("==")[0] for text in about["requirements"]}
    assert names >= {"monai", "nibabel"}
    assert not names & {"pytorch-ignite", "fire"}
    assert about["sample"] is not None


def test_a_served_bundle_gives_the_masks_that_monai_writes(
    bundle, archive, metadata, serve_import, tmp_path
):
    with serve_import("monai_bundle", metadata["of"]["requirements"], archive, "spleen") as url:
        for image in sorted((bundle / "images").iterdir()):
            out = tmp_path / image.name
            files = ("--input", f"image={image}", "--output", f"pred={out}")
            assert main(["predict", url, *files]) == 0
            expected = nibabel.load(bundle / "eval" / image.name.replace(".nii", "_seg.nii"))
            mask = nibabel.load(out)
            np.testing.assert_array_equal(mask.get_fdata(), expected.get_fdata().squeeze())
            np.testing.assert_allclose(mask.affine, expected.affine, atol=1e-4)
            assert 0 < mask.get_fdata().mean() < 1


def test_the_page_s_code_runs_as_it_is_printed(run, tmp_path):
    (tmp_path / "page.py").write_text(code_of("monai"), "utf-8")
    run("page.py", cwd=tmp_path)
    assert (tmp_path / "model_zoo" / "segmentation.mar").is_file()


@pytest.fixture(scope="module")
def found(run, tmp_path_factory):
    return json.loads(run(SCRIPTS / "items.py", cwd=tmp_path_factory.mktemp("items")))


def test_a_batch_is_taken_apart_into_items_and_put_together(found):
    assert found["items"] == {
        "item": {
            "image": "MetaTensor torch.int32 [1, 3, 2]",
            "image_affine": "Tensor torch.float64 [4, 4]",
            "age": "7",
            "note": "'x'",
            "table": "ndarray float64 [5, 2]",
        },
        "is_placed": [2.0, 3.0],
        "values": [6, 7, 8, 9, 10, 11],
        "untouched": ["image_affine", "age", "note", "table"],  # torch does not compute in uint16
        "copy": "MetaTensor torch.int32 [2, 1, 3, 2]",
        "is_batch": True,
    }
    assert found["channel first stays"] == "MetaTensor torch.float32 [1, 1, 4, 5, 6]"
    assert found["keeps metadata"]


def test_only_dictionary_transforms_take_items(found):
    assert not found["functions get the batch"]
    assert not found["other callable"]
    assert found["nested"]


def test_transforms_that_belong_to_files_are_refused(found):
    kind, *problems = found["files"]
    assert kind == "InvalidArgument"
    assert problems == [
        (
            "pre_processing: LoadImaged reads files, and a request brings arrays, channel first: "
            "leave it out, as in Compose(chain.transforms[1:])"
        ),
        (
            "post_processing: SaveImaged writes files on the server: leave it out, as in "
            "Compose(chain.transforms[:-1]); eisen-client writes what it gets to files"
        ),
    ]


def test_what_resamples_needs_an_affine(found):
    assert found["no affine"] == [
        "InvalidArgument",
        (
            "pre_processing: Spacingd needs to know where the voxels of image lie: declare an "
            "input image_affine, ndarray[float64] of shape [-1, 4, 4]"
        ),
    ]
    assert found["with affine"] is None


def test_items_that_are_no_batch_any_more_are_an_error(found):
    assert found["shapes"] == [
        "TransformFailed",
        (
            "image: the items of the request have different shapes after the transform, and cannot "
            "be one batch: [1, 1], [1, 2]; send them one by one"
        ),
    ]
    assert found["one row"] == "MetaTensor torch.float32 [1, 1, 2]"
    assert found["rows"] == [
        "InvalidInput",
        "image: expected at least one row (axis 0), got none",
    ]


def test_the_signature_of_a_sample_goes_through_items(found):
    signature = found["signature"]
    assert signature["model_input_list"] == ["image"]
    assert [field["name"] for field in signature["outputs"]] == ["output"]
    assert signature["outputs"][0]["shape"] == [-1, 1, 4, 3, 6]


@pytest.fixture(scope="module")
def described(run, tmp_path_factory):
    return json.loads(run(SCRIPTS / "described.py", cwd=tmp_path_factory.mktemp("described")))


def test_segments_are_declared_where_the_numbers_of_the_mask_are_known(described):
    assert described["argmax"]["segments"] == [
        [1, "Liver", "SCT:10200004"],
        [2, "tumor", None],
    ]
    assert described["threshold"]["segments"] == [[1, "Tumor core", None], [2, "Whole tumor", None]]
    assert described["merged and described"]["segments"] == [[4, "Spleen", "SCT:78961009"]]
    assert described["probabilities"]["segments"] == described["merged"]["segments"] == []
    (remark,) = described["merged"]["remarks"]
    assert remark.startswith("no segments are declared: Lambdad may change what the numbers")
    assert not any(each["remarks"] for name, each in described.items() if name == "threshold")


def test_sizes_are_fixed_only_where_the_network_sees_the_input_as_it_is(described):
    assert described["argmax"]["shapes"] == [[-1, 4, 32, -1, 16], [-1, -1, 32, -1, 16]]
    free = [-1, 4, -1, -1, -1]
    assert described["threshold"]["shapes"][0] == described["patches"]["shapes"][0] == free
    assert described["probabilities"]["shapes"][:2] == [free, [-1, 4, 4]]
    assert described["merged and described"]["shapes"][-1] == [-1, 1, 32, -1, 16]


def test_a_sample_is_made_up_in_a_size_that_is_declared(described):
    assert described["argmax"]["sample"] == {"image": [1, 4, 32, 28, 16]}
    placed = described["probabilities"]["sample"]
    assert placed == {"image": [1, 4, 24, 28, 32], "image_affine": [1, 4, 4]}


def test_a_bundle_with_two_inputs_is_refused(described):
    assert described["two inputs"] == [
        (
            "metadata.json: network_data_format.inputs: expected one, got 2: pack it with "
            "EisenServingMAR"
        )
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metadata", "{", "configs/metadata.json of a MONAI bundle cannot be read"),
        ("metadata", "{}", "network_data_format.inputs: expected one, got none"),
        ("inference", '{"network_def": {"_target_": "NoNet"}}', "NoNet"),
        (
            "inference",
            (
                '{"network_def": "$torch.nn.Identity()", "preprocessing": {"_target_": "Compose", '
                '"transforms": [{"_target_": "ScaleIntensity"}]}}'
            ),
            "preprocessing: expected dictionary transforms",
        ),
        (
            "metadata",
            (
                '{"network_data_format": {"inputs": {"z": {"type": "tuples", "num_channels": 1, '
                '"spatial_shape": [64]}}}}'
            ),
            "network_data_format.inputs.z: expected an image",
        ),
        ("inference", "{}", "models/model.ts: there is no such file with weights"),
    ],
)
def test_what_is_wrong_with_a_bundle_is_one_line(
    bundle, monai_python, tmp_path, name, content, message
):
    (tmp_path / "configs").mkdir()
    (tmp_path / "models").symlink_to(bundle / "models")
    for other in ("metadata", "inference"):
        text = (bundle / "configs" / f"{other}.json").read_text("utf-8")
        path = tmp_path / "configs" / f"{other}.json"
        path.write_text(content if other == name else text, "utf-8")
    command = [monai_python.with_name("eisen-pack"), "import", "monai-bundle", tmp_path]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
