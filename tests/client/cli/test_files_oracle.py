"""Marked voxels of random grids lie at one place in the patient: in the image and in the mask, as
nibabel, ITK and formulas of the standards see them.

``ORACLE_GRIDS=1000`` tries as many; ``-rP`` prints how far apart the readers were.
"""

from __future__ import annotations

import gzip
import os
import random
import re
import warnings
from contextlib import suppress
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from eisen_deploy.client import files

from . import by_hand

sitk = pytest.importorskip("SimpleITK")
sitk.ProcessObject_SetGlobalWarningDisplay(False)

GRIDS = int(os.environ.get("ORACLE_GRIDS", "40"))
NEAR = 0.01  # voxels
QUATERNION = 7e-4  # radians: twice the root of 1e-7, below which its first number is 0
MARKS = 6
TURNS = [None, "RAS", "LPS", "SPL", "IAR"]
Places = dict[str, "np.ndarray | None"]


# --- grids --------------------------------------------------------------------------------


def turn_of(dice: random.Random) -> np.ndarray:
    """Return a rotation, oblique or along the axes."""
    if dice.random() < 0.3:
        turn = np.eye(3)[dice.sample(range(3), 3)] * [[dice.choice([-1, 1])] for _ in range(3)]
    else:
        turn = np.linalg.qr([[dice.gauss(0, 1) for _ in range(3)] for _ in range(3)])[0]
    return turn * np.linalg.det(turn)


def affine_of(dice: random.Random) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = turn_of(dice) * [10 ** dice.uniform(-0.4, 0.7) for _ in range(3)]
    affine[:3, 2] *= dice.choice([1, -1])
    affine[:3, 3] = [dice.uniform(-200, 200) for _ in range(3)]
    return affine


def marked(dice: random.Random, shape: tuple[int, ...]) -> np.ndarray:
    """Return a volume of zeros with voxels of 1, 2, 3 ... somewhere."""
    volume = np.zeros(shape, np.uint8)
    for label, index in enumerate(dice.sample(range(volume.size), MARKS), 1):
        volume.flat[index] = label
    return volume


def marks_in(volume: np.ndarray) -> np.ndarray:
    """Return the indices (3, marks) of 1, 2, 3 ... in a volume."""
    assert sorted(volume[volume > 0]) == list(range(1, MARKS + 1))
    padded = volume.reshape(*volume.shape, *[1] * (3 - volume.ndim))
    return np.array([np.argwhere(padded == label)[0] for label in range(1, MARKS + 1)]).T


def at(affine: np.ndarray, indices: np.ndarray) -> np.ndarray:
    return affine[:3, :3] @ indices + affine[:3, 3:]


def apart(one: np.ndarray, other: np.ndarray, size: float) -> float:
    """Return the greatest distance of places, in voxels of that size."""
    return float(np.linalg.norm(one - other, axis=0).max() / size)


# --- readers ------------------------------------------------------------------------------


def by_nibabel(path: Path) -> np.ndarray | None:
    try:
        image = nibabel.load(path)
    except ValueError:  # a quaternion of few digits
        return None
    return at(image.affine, marks_in(_first(np.asanyarray(image.dataobj), image.ndim)))


def by_itk(path: Path) -> np.ndarray | None:
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError:
        return None
    return itk_places(image)


def itk_places(image) -> np.ndarray:
    volume = _first(sitk.GetArrayFromImage(image).T, image.GetDimension())
    marks = marks_in(volume).T.tolist()
    further = [0] * (image.GetDimension() - 3)
    places = [
        image.TransformIndexToPhysicalPoint([*mark, *further][: image.GetDimension()])
        for mark in marks
    ]
    return np.array([[-x, -y, *z[:1]] for x, y, *z in places]).T


def by_formula(path: Path) -> dict[str, np.ndarray]:
    header, volume = by_hand.read_nifti(path)
    marks = marks_in(_first(volume, volume.ndim))
    return {name: at(affine, marks) for name, affine in by_hand.placements(header).items()}


def seen(path: Path) -> Places:
    return {"nibabel": by_nibabel(path), "ITK": by_itk(path), **by_formula(path)}


def _first(volume: np.ndarray, axes: int) -> np.ndarray:
    """Return the first of several volumes: all have the same marks."""
    return volume[..., 0] if axes > 3 else volume


def through(source: Path, target: Path, turn: str | None) -> files.Content:
    """Do what ``eisen-client predict`` does, with a model that gives its input back."""
    image = files.read(source)
    array, layout = files.to_model(image, None, turn)
    with np.errstate(invalid="ignore"):  # changed headers scale to anything
        mask = array.astype(np.uint8)
    files.save(target, files.from_model(mask, layout))
    return image


# --- NIfTI --------------------------------------------------------------------------------


def nifti_of(dice: random.Random) -> bytes:
    """Return a file with any codes, in which sform and qform agree, or do not."""
    affine, digits = affine_of(dice), dice.randint(2, 6)
    other = affine_of(dice) if dice.random() < 0.3 else affine
    sizes, qfac = np.linalg.norm(other[:3, :3], axis=0), np.sign(np.linalg.det(other))
    turn = other[:3, :3] / sizes * [1, 1, qfac]
    if dice.random() < 0.2:
        affine[:3, 2] += affine[:3, 0] * dice.uniform(0.2, 0.6)
    shape = tuple(dice.randint(3, 9) for _ in range(3))
    shape = dice.choice([shape, shape, shape, (*shape[:2], 1), shape[:2]])
    volume = marked(dice, shape)
    if len(shape) == 3 and dice.random() < 0.3:
        volume = np.stack([volume] * dice.randint(1, 4), axis=3)
    return by_hand.nifti(
        volume,
        order=dice.choice("<>"),
        version=2 if dice.random() < 0.1 else 1,
        pixdim=[qfac, *np.round(sizes, digits), *[dice.choice([0, 1, 2.5])] * 4],
        qform_code=dice.randint(0, 4),
        sform_code=dice.randint(0, 4),
        quatern=np.round(by_hand.quaternion(turn), digits),
        qoffset=np.round(other[:3, 3], digits),
        srow=np.round(affine[:3], digits),
        xyzt_units=dice.choice([0, 1, 2, 2, 2, 2, 3, 10]),
        dim_info=dice.randint(0, 63),
    )


@pytest.mark.parametrize("grid", range(GRIDS))
def test_a_mask_of_nifti_lies_where_its_image_does(tmp_path, grid):
    dice = random.Random(grid)
    source, target = (tmp_path / f"{name}{dice.choice(['.nii', '.nii.gz'])}" for name in "ab")
    raw = nifti_of(dice)
    source.write_bytes(gzip.compress(raw) if source.suffix == ".gz" else raw)
    header = by_hand.read_nifti(source)[0]
    is_placed = header["qform_code"] or header["sform_code"]
    try:
        image = through(source, target, dice.choice(TURNS) if is_placed else None)
    except files.FileError as error:
        pytest.fail(f"grid {grid} is refused: {error}")
    before, after = seen(source), seen(target)
    sizes = [np.linalg.norm(each[:3, :3], axis=0) for each in by_hand.placements(header).values()]
    size = np.min(sizes)
    assert before.keys() == after.keys()
    for reader, places in before.items():
        assert (places is None) == (after[reader] is None), reader
        if places is not None:
            assert apart(places, after[reader], size) < NEAR, reader
    written = by_hand.read_nifti(target)[0]
    for field in by_hand.PLACE:
        np.testing.assert_array_equal(written[field], header[field], field)
    np.testing.assert_array_equal(written["pixdim"][:4], header["pixdim"][:4])
    if is_placed:
        unit = {1: 1000, 3: 0.001}.get(header["xyzt_units"] & 7, 1)
        places = at(image.grid.affine, marks_in(_first(*_volume(source)))) / unit
        assert apart(places, before.get("method 3", before.get("method 2")), size) < NEAR


def _volume(path):
    volume = by_hand.read_nifti(path)[1]
    return volume, volume.ndim


@pytest.mark.slow
def test_headers_with_changed_bytes(tmp_path):
    """Whatever a program makes of such an image, if it is not refused, it makes of the mask."""
    source, target = tmp_path / "a.nii", tmp_path / "b.nii"
    count = 0
    for grid in range(GRIDS * 4):
        dice = random.Random(grid)
        raw = bytearray(nifti_of(dice))
        for _ in range(dice.randint(1, 3)):
            at = dice.randrange(348)
            raw[at] = dice.choice([0, 1, 128, 255, raw[at] ^ 1 << dice.randrange(8)])
        source.write_bytes(raw)
        try:
            through(source, target, None)
        except files.FileError:
            continue
        count += 1
        before, after = frames(source), frames(target)
        for reader, frame in before.items():
            np.testing.assert_allclose(after[reader], frame, 1e-5, 1e-5, err_msg=f"{grid} {reader}")
    assert count > GRIDS


def frames(path: Path) -> dict[str, np.ndarray]:
    """Return where programs that take a file place its first voxel, and those beside it."""
    found = {}
    with suppress(ValueError, nibabel.filebasedimages.ImageFileError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found["nibabel"] = nibabel.load(path).affine
    with suppress(RuntimeError):
        image = sitk.ReadImage(str(path))
        size = image.GetDimension()
        steps = np.eye(size, dtype=int)[: min(size, 3)] * (np.array(image.GetSize()) > 1)
        places = [image.TransformIndexToPhysicalPoint(step.tolist())[:3] for step in steps]
        found["ITK"] = np.array([*places, image.GetOrigin()[:3]])
    return found


# --- DICOM --------------------------------------------------------------------------------


@pytest.mark.quick_cases(8)
@pytest.mark.parametrize("grid", range(GRIDS))
def test_a_mask_of_dicom_lies_where_its_images_do(tmp_path, write_series, slices, grid):
    dice = random.Random(grid)
    affine, tilt = affine_of(dice), 0.0
    shape = (dice.randint(3, 9), dice.randint(3, 9), dice.choice([1, 2, 3, 5, 9, 14]))
    if shape[2] > 1 and dice.random() < 0.25:
        tilt = dice.choice([-1, 1]) * dice.uniform(0.15, 0.6)
        affine[:3, 2] += (
            affine[:3, 1] * (tilt * np.linalg.norm(affine[:3, 2])) / (np.linalg.norm(affine[:3, 1]))
        )
    volume = marked(dice, shape)
    images = slices(volume.astype(np.int16), affine)
    digits = {
        "ImagePositionPatient": dice.choice([1, 2, 3, 4, 5, 6]),
        "ImageOrientationPatient": dice.choice([2, 3, 3, 4, 4, 5, 6]),
    }
    for image in images:
        for keyword, count in digits.items():
            setattr(image, keyword, [f"{float(x):.{count}f}" for x in image[keyword]])
    step, of_cosines = (10.0**-count for count in digits.values())
    truth = np.hstack([_places(image, volume[:, :, k]) for k, image in enumerate(images)])
    truth = truth[:3, np.argsort(truth[3])]
    folder, target = write_series(images), tmp_path / f"m{dice.choice(['.nii', '.nii.gz'])}"
    reason = ""
    try:
        read = through(folder, target, dice.choice(TURNS))
    except files.UnsupportedFile as error:
        reason = str(error)
    if reason:
        print(f"grid {grid}: refused with {digits}: {reason}")
        uneven = step > 0.02 * np.linalg.norm(affine[:3, 2]) and "evenly" in reason
        assert uneven or (of_cosines > 2e-4 and "right angles" in reason)
        return
    remarks = " ".join(files.check_grid(target, read.grid))
    assert bool(tilt) == ("sheared" in remarks)
    told = re.search(r"up to (\S+) voxels", remarks)
    size = np.linalg.norm(affine[:3, :3], axis=0).min()
    slack = NEAR + 2 * step / size  # two roundings, in three axes
    for reader, places in seen(target).items():
        assert (places is None) == (reader == "ITK" and bool(tilt)), (reader, remarks)
        if places is not None:
            off = apart(places, truth, size)
            by_qform = reader in ("ITK", "method 2") and told
            more = float(told[1]) if by_qform else _loss(reader, affine, shape)
            assert off < slack + more, (reader, remarks)
            print(f"grid {grid}: {digits}, {reader} {off:.5f} of {slack + more:.5f}, {told}")
    if not tilt and max(step, of_cosines) < 1e-4:
        image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
        assert apart(itk_places(image), truth, size) < slack
    if grid % 4 == 0:
        files.save(tmp_path / "m.dcm", files.Content(read.value.astype(np.uint8), 3, read.grid))
        assert apart(_segments(tmp_path / "m.dcm"), truth, size) < NEAR


def _segments(path: Path) -> np.ndarray:
    """Return where the marks of a segmentation lie, by its functional groups (PS3.3, C.7.6.16)."""
    seg = pydicom.dcmread(path)
    shared = seg.SharedFunctionalGroupsSequence[0]
    found = {}
    for group, plane in zip(
        seg.PerFrameFunctionalGroupsSequence, seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    ):
        image = Dataset()
        image.ImagePositionPatient = group.PlanePositionSequence[0].ImagePositionPatient
        orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
        image.ImageOrientationPatient = orientation
        image.PixelSpacing = shared.PixelMeasuresSequence[0].PixelSpacing
        number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        if plane.any():
            assert number not in found
            found[number] = _places(image, plane.T)[:3, 0]
    return np.array([found[number] for number in range(1, MARKS + 1)]).T


def _loss(reader: str, affine: np.ndarray, shape: tuple[int, ...]) -> float:
    """Return how much of a rotation is lost in a quaternion of 24 bits, in voxels of the volume."""
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    return QUATERNION * np.linalg.norm(sizes * shape) / 2 / sizes.min() * (reader == "method 2")


def _places(image, plane: np.ndarray) -> np.ndarray:
    """Return x, y, z and the label of each marked pixel."""
    columns, rows = np.nonzero(plane)
    return np.vstack([by_hand.dicom_places(image, columns, rows), plane[columns, rows]])
