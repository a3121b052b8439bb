"""Inputs that say where the voxels of an image lie: eisen-client reads them from its file."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from PIL import Image

INPUTS = {"image": [-1, 1, -1, -1, -1], "image_affine": [-1, 4, 4]}


@pytest.fixture
def placed(model):
    return model(lambda image, image_affine: {"mask": image > image.mean()}, INPUTS)


@pytest.fixture
def oblique_file(oblique, tmp_path):
    path = tmp_path / "oblique.nii"
    nibabel.Nifti1Image(*oblique).to_filename(path)
    return path


@pytest.mark.parametrize("orientation", [None, "RAS", "SPL", "AIR"])
def test_the_affine_is_that_of_the_array_which_is_sent(
    placed, predict, oblique, oblique_file, canonical, orientation, tmp_path
):
    turn = ["--orientation", orientation] if orientation else []
    out = tmp_path / "mask.nii.gz"
    files = ("--input", f"image={oblique_file}", "--output", f"mask={out}")
    assert predict(placed, *files, *turn)[::2] == (0, "")
    (asked,) = placed.asked
    affine = asked["image_affine"]
    assert (affine.shape, affine.dtype) == ((1, 4, 4), np.float64)
    data, where = canonical(asked["image"][0, 0], affine[0])
    expected, expected_where = canonical(*oblique)
    np.testing.assert_array_equal(data, expected)
    np.testing.assert_allclose(where, expected_where, atol=1e-4)
    if orientation:
        assert "".join(nibabel.aff2axcodes(affine[0])) == orientation
    np.testing.assert_allclose(nibabel.load(out).affine, oblique[1], atol=1e-4)


def test_a_dicom_series_has_one_too(placed, predict, series, oblique, canonical, tmp_path):
    files = ("--input", f"image={series}", "--output", f"mask={tmp_path / 'mask.npy'}")
    assert predict(placed, *files)[::2] == (0, "")
    (asked,) = placed.asked
    data, where = canonical(asked["image"][0, 0], asked["image_affine"][0])
    expected, expected_where = canonical(*oblique)
    np.testing.assert_array_equal(data, expected)
    np.testing.assert_allclose(where, expected_where, atol=1e-4)


def test_one_that_is_given_is_sent(placed, predict, oblique_file, tmp_path):
    np.save(tmp_path / "own.npy", np.diag([2.0, 2, 2, 1])[None])
    arguments = [
        *("--input", f"image={oblique_file}"),
        *("--input", f"image_affine={tmp_path / 'own.npy'}"),
        *("--output", f"mask={tmp_path / 'mask.npy'}"),
    ]
    assert predict(placed, *arguments)[::2] == (0, "")
    np.testing.assert_array_equal(placed.asked[0]["image_affine"], np.diag([2.0, 2, 2, 1])[None])


def test_a_file_without_one_is_refused_before_anything_is_sent(model, predict, tmp_path):
    inputs = {"image": [-1, 1, -1, -1], "image_affine": [-1, 4, 4]}
    server = model(lambda image, image_affine: {"mask": image}, inputs)
    Image.new("L", (8, 6)).save(tmp_path / "slice.png")
    status, _, err = predict(server, "--input", f"image={tmp_path / 'slice.png'}", "--json")
    assert status == 2
    assert "the model takes image_affine, and the file of image has none: give it" in err
    assert not server.asked
