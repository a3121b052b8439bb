"""Axes of files to those of models and back; orientations as nibabel has them."""

from __future__ import annotations

from itertools import permutations, product

import nibabel
import numpy as np
import pytest
from nibabel.orientations import aff2axcodes, axcodes2ornt, io_orientation, ornt_transform

from eisen_deploy.client.files import Content, GeometryMismatch, Grid, from_model, to_model
from eisen_deploy.client.files.axes import to_picture
from eisen_deploy.client.files.orientation import check_codes, find_codes, turn_to

ALL_CODES = [
    "".join(letters) for order in permutations(("LR", "PA", "IS")) for letters in product(*order)
]


def volume(*shape, affine=None):
    array = np.arange(np.prod(shape)).reshape(shape)
    return Content(array, 3, Grid(shape[-3:], np.eye(4) if affine is None else affine))


@pytest.mark.parametrize(
    ("shape", "declared", "sent"),
    [
        ((4, 3, 2), [-1, 1, -1, -1, -1], (1, 1, 4, 3, 2)),
        ((4, 3, 2), [-1, -1, -1, -1], (1, 4, 3, 2)),
        ((4, 3, 2), [-1, -1, -1], (4, 3, 2)),
        ((4, 3, 2), None, (1, 1, 4, 3, 2)),
        ((5, 4, 3, 2), [-1, 5, -1, -1, -1], (1, 5, 4, 3, 2)),
        ((5, 4, 3, 2), None, (1, 5, 4, 3, 2)),
        ((4, 3, 1), [-1, 1, -1, -1], (1, 1, 4, 3)),
        ((4, 3, 1), [-1, 1, -1, -1, -1], (1, 1, 4, 3, 1)),
        ((4, 1, 2), [-1, 1, 4, 2], (1, 1, 4, 2)),
        ((4, 3, 2), [-1, 1, -1, -1], (1, 4, 3, 2)),  # a lie: the client's check will say so
        ((4, 1, 1), [-1, 1, 4, 1], (1, 4, 1, 1)),  # which of the two axes, nobody knows
        ((4, 3, 2), [-1], (4, 3, 2)),
    ],
)
def test_leading_axes_and_back(shape, declared, sent):
    content = volume(*shape)
    array, layout = to_model(content, declared)
    assert array.shape == sent
    np.testing.assert_array_equal(from_model(array, layout).value, content.value)


def test_without_geometry_arrays_are_sent_as_they_are_or_led_by_what_is_declared():
    array = np.zeros((3, 2))
    assert to_model(Content(array), None)[0].shape == (3, 2)
    assert to_model(Content(array), [-1, 1, -1, -1])[0].shape == (1, 1, 3, 2)
    assert to_model(Content(array, 2), None)[0].shape == (1, 1, 3, 2)


def test_channels_are_returned_in_front():
    _, layout = to_model(volume(4, 3, 2), None)
    assert from_model(np.zeros((1, 5, 4, 3, 2)), layout).value.shape == (5, 4, 3, 2)
    assert from_model(np.zeros((5, 1, 4, 3, 2)), layout).value.shape == (5, 4, 3, 2)


@pytest.mark.parametrize("shape", [(1, 1, 2, 3, 4), (4, 3), (1, 1, 8, 6, 4), (3, 2), ()])
def test_other_shapes_are_refused_and_both_are_reported(shape):
    _, layout = to_model(volume(4, 3, 2), None)
    with pytest.raises(GeometryMismatch) as caught:
        from_model(np.zeros(shape), layout)
    assert str(list(shape)) in str(caught.value)
    assert "[4, 3, 2]" in str(caught.value)


def test_two_axes_of_channels_are_refused():
    _, layout = to_model(volume(4, 3, 2), None)
    with pytest.raises(GeometryMismatch, match="more than one axis of channels"):
        from_model(np.zeros((2, 5, 4, 3, 2)), layout)


def test_without_a_grid_no_grid_is_returned():
    _, layout = to_model(Content(np.zeros((3, 2)), 2), None)
    with pytest.raises(GeometryMismatch, match="no geometry"):
        from_model(np.zeros((3, 2)), layout)
    with pytest.raises(GeometryMismatch, match="no orientation"):
        to_model(Content(np.zeros((3, 2)), 2), None, "RAS")


# --- orientation --------------------------------------------------------------------------


def affines():
    rng = np.random.default_rng(3)
    for _ in range(40):
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        affine = np.eye(4)
        affine[:3, :3] = turn * rng.uniform(0.5, 5, 3)
        yield affine


def test_there_are_48_orientations():
    assert len(set(ALL_CODES)) == 48
    assert all(check_codes(codes.lower()) == codes for codes in ALL_CODES)
    for codes in ("", "RA", "RAR", "RLS", "RASI", "XYZ", "R S"):
        with pytest.raises(ValueError, match="RAS"):
            check_codes(codes)


@pytest.mark.parametrize("codes", ALL_CODES)
def test_every_orientation_is_that_of_nibabel_and_is_undone(codes):
    rng = np.random.default_rng(1)
    array = rng.normal(size=(2, 5, 4, 3))
    turn, _ = np.linalg.qr(np.eye(3) + 0.2 * rng.normal(size=(3, 3)))
    for order in permutations(range(3)):
        affine = np.eye(4)
        affine[:3, :3] = turn[:, list(order)]
        found = turn_to(codes, affine)
        change = ornt_transform(io_orientation(affine), axcodes2ornt(codes))
        expected = np.stack([nibabel.apply_orientation(each, change) for each in array])
        np.testing.assert_array_equal(found.apply(array), expected)
        np.testing.assert_array_equal(found.undo(found.apply(array)), array)


def test_names_of_orientations_are_those_of_nibabel():
    for affine in affines():
        if np.sort(np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)))[2].min() > 0.8:
            assert find_codes(affine) == "".join(aff2axcodes(affine))


def test_a_volume_is_turned_for_the_model_and_back():
    content = volume(4, 3, 2, affine=np.diag([-1.0, -1, 1, 1]))
    array, layout = to_model(content, None, "SRA")
    assert array.shape == (1, 1, 2, 4, 3)
    assert array[0, 0, 0, 0, 0] == content.value[3, 2, 0]
    back = from_model(array, layout)
    np.testing.assert_array_equal(back.value, content.value)
    assert back.grid is content.grid


def test_a_turned_slice_loses_its_axis_and_gets_it_back():
    content = volume(4, 3, 1)
    array, layout = to_model(content, [-1, 1, -1, -1], "SAR")
    assert array.shape == (1, 1, 3, 4)
    np.testing.assert_array_equal(from_model(array, layout).value, content.value)


# --- grids and pictures -------------------------------------------------------------------


@pytest.mark.parametrize("size", [0.01, 1.0, 200.0])
def test_grids_are_alike_if_no_voxel_is_elsewhere(size):
    affine = np.diag([size, size, size, 1.0])
    grid = Grid((100, 100, 50), affine)
    assert grid.is_like(Grid((100, 100, 50), affine))
    assert not grid.is_like(Grid((100, 100, 51), affine))
    for entry in ((0, 3), (1, 1), (2, 0)):
        other = affine.copy()
        other[entry] += 1e-6 * size
        assert grid.is_like(Grid((100, 100, 50), other))
        other[entry] += 0.01 * size
        assert not grid.is_like(Grid((100, 100, 50), other))


def test_pictures():
    slice_ = volume(4, 3, 1)
    array, layout = to_model(slice_, None)
    np.testing.assert_array_equal(to_picture(array, layout).value, slice_.value[:, :, 0].T)
    _, layout = to_model(Content(np.zeros((3, 2)), 2), None)
    assert to_picture(np.zeros((1, 1, 3, 2)), layout).value.shape == (3, 2)
    assert to_picture(np.zeros((1, 3, 5, 6)), None).value.shape == (3, 5, 6)
