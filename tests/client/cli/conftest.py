"""A model server that keeps what it was sent, real volumes, and DICOM series made of them."""

from __future__ import annotations

import importlib.util
import json
import random
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset

from eisen_deploy.client.cli import main, settings

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
OFFSET = 1024


@pytest.fixture(autouse=True)
def no_settings(monkeypatch, tmp_path):
    for name in ("TOKEN", "CONFIG", *(name.upper() for name in settings.NAMES)):
        monkeypatch.delenv(f"EISEN_{name}", raising=False)
    for folder in ("XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.setenv(folder, str(tmp_path / "no settings"))


@pytest.fixture
def run(capsys):
    """Run the command: ``run("metadata", url) -> (status, output, errors)``."""

    def call(*arguments):
        status = main([str(each) for each in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def described(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata: ``{name: shape}`` for arrays, ``{name: "str"}`` for others."""

    def entries(fields):
        return [
            {"name": name, "type": what, "shape": []}
            if isinstance(what, str)
            else {"name": name, "type": "ndarray", "shape": what}
            for name, what in fields.items()
        ]

    return {"inputs": entries(inputs), "outputs": entries(outputs)}


VOLUME = [-1, 1, -1, -1, -1]


@pytest.fixture
def model(serve, http):
    """Serve a model: ``model(function, inputs, outputs) -> server``; one of volumes by default.

    The inputs of each prediction are kept in ``server.asked``.
    """

    def start(function=lambda image: {"mask": image > image.mean()}, inputs=None, outputs=None):
        inputs = {"image": VOLUME} if inputs is None else inputs
        metadata = described(inputs, {"mask": VOLUME} if outputs is None else outputs)

        def answer(asked):
            if set(asked.inputs) - set(inputs):
                return http.error(422, "InvalidInput", "no such input")
            server.asked.append(asked.inputs)
            given = function(**asked.inputs)
            return http.oip({name: given[name] for name in asked.outputs or given})

        def script(peer):
            while (request := peer.receive()) is not None:
                if request.body:
                    peer.send(answer(request.decode()))
                else:
                    peer.send(http.reply(200, body=json.dumps(metadata).encode()))

        server = serve(script)
        server.asked = []
        return server

    return start


@pytest.fixture
def predict(capsys) -> Callable[..., Any]:
    """Run ``eisen-client predict``: ``predict(server, *arguments) -> (status, out, err)``."""

    def run(server, *arguments):
        url = getattr(server, "url", server)
        status = main(["predict", str(url), *map(str, arguments)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def _packaged(package: str, path: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / path


@pytest.fixture(scope="session")
def mni() -> Path:
    """The MNI152 T1 template at 1 mm, which nilearn ships."""
    return _packaged("nilearn", "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz")


@pytest.fixture(scope="session")
def scans() -> Path:
    """The folder of the scans that nibabel ships."""
    return _packaged("nibabel", "tests/data")


@pytest.fixture(scope="session")
def anatomical(scans) -> Path:
    """A T1 volume of 33 x 41 x 25 voxels of 2 mm, big-endian, with qform and sform."""
    return scans / "anatomical.nii"


@pytest.fixture(scope="session")
def bundled() -> Path:
    """The folder of the DICOM files that pydicom ships."""
    return _packaged("pydicom", "data/test_files")


def write_dicom(path: Path, dataset: Dataset) -> None:
    if pydicom.__version__ >= "3":
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    else:
        dataset.is_little_endian, dataset.is_implicit_VR = True, False
        pydicom.dcmwrite(path, dataset, write_like_original=False)


def slices_of(volume: np.ndarray, affine: np.ndarray) -> list[Dataset]:
    """Return CT images of a volume (i, j, k) of integers, with its affine (RAS+)."""
    lps = LPS @ affine
    sizes = np.linalg.norm(lps[:3, :3], axis=0)
    cosines = lps[:3, :3] / sizes
    study, series, frame = (pydicom.uid.generate_uid() for _ in range(3))
    images = []
    for k in range(volume.shape[2]):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.MediaStorageSOPClassUID = CT
        dataset.file_meta.TransferSyntaxUID = EXPLICIT
        dataset.SOPClassUID = CT
        dataset.SOPInstanceUID = pydicom.uid.generate_uid()
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
        dataset.FrameOfReferenceUID = frame
        dataset.PatientName, dataset.PatientID = "Canary^Patient", "CANARY-4711"
        dataset.PatientBirthDate, dataset.PatientSex = "19700101", "O"
        dataset.StudyDate, dataset.StudyTime = "20200101", "120000"
        dataset.StudyID, dataset.AccessionNumber = "1", "2"
        dataset.ReferringPhysicianName = dataset.Manufacturer = ""
        dataset.PositionReferenceIndicator = ""
        dataset.Modality, dataset.SeriesNumber = "CT", 3
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.Rows, dataset.Columns = volume.shape[1], volume.shape[0]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 15, 14
        dataset.PixelRepresentation = 0
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -OFFSET
        dataset.PixelSpacing = [_text(sizes[1]), _text(sizes[0])]
        dataset.SliceThickness = _text(sizes[2])
        dataset.ImageOrientationPatient = [_text(x) for x in (*cosines[:, 0], *cosines[:, 1])]
        dataset.ImagePositionPatient = [_text(x) for x in (lps @ [0, 0, k, 1])[:3]]
        dataset.PixelData = (volume[:, :, k].T.astype(np.int32) + OFFSET).astype("<u2").tobytes()
        images.append(dataset)
    return images


def _text(number: float) -> str:
    return f"{number:.9f}"[:16]


@pytest.fixture(scope="session")
def slices() -> Callable[..., list[Dataset]]:
    """Make CT images of a volume: ``slices(volume, affine) -> datasets``."""
    return slices_of


@pytest.fixture(scope="session")
def oblique(anatomical) -> tuple[np.ndarray, np.ndarray]:
    """An anatomical volume in Hounsfield-like integers, and an affine that is turned by 20 and 30
    degrees, with three different voxel sizes.
    """
    volume = np.asanyarray(nibabel.load(anatomical).dataobj).astype(np.int16) // 8 - 900
    a, b = np.deg2rad([20, 30])
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    turn = turn @ np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-0.9, 1.1, 2.5])
    affine[:3, 3] = [31, -40.5, 12.25]
    return volume, affine


@pytest.fixture
def write_series(tmp_path):
    """Write images to a folder, in random order and with random names and numbers, or with those
    that are given: ``write_series(images, name, numbers)``.
    """

    def write(images, name="series", numbers=None):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True, parents=True)
        numbers = numbers or random.Random(7).sample(range(1000), len(images))
        for number, image in zip(numbers, images):
            image.InstanceNumber = number
            write_dicom(folder / f"IM{number:03}", image)
        return folder

    return write


@pytest.fixture
def series(write_series, oblique) -> Path:
    """A folder with the oblique volume as CT."""
    return write_series(slices_of(*oblique))


@pytest.fixture
def make_slices(oblique):
    """Return the images of a small part of the oblique volume: ``make_slices(count=5)``."""
    volume, affine = oblique
    return lambda count=5: slices_of(volume[:12, :10, :count], affine)


@pytest.fixture
def canonical():
    """Return data and affine of a volume, turned to the nearest of RAS+."""

    def turn(volume, affine):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = nibabel.Nifti1Image(np.asarray(volume).astype(np.float64), affine)
        image = nibabel.as_closest_canonical(image)
        return image.get_fdata(), image.affine

    return turn
