"""Draw a head as a NIfTI file and as a DICOM series, with the masks that ``eisen-client`` wrote.

Trains and packs the network of the quickstart, serves it, writes the MNI template as a DICOM series
of sagittal slices, runs ``eisen-client predict`` on both, and draws the same axial plane of each in
millimetres of the patient, by the affine of each file.

Usage: ``python client_nifti.py [FOLDER]``; everything goes to FOLDER (``client-nifti``).
Needs, beyond what the quickstart needs: nibabel and pydicom.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel
import numpy as np
import numpy.typing as npt
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

import brain_data
import quickstart
from eisen_deploy.client import files
from eisen_deploy.serving.engines.torchserve.launcher import TorchServe

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = npt.NDArray[np.float64]

HEIGHT = 20.0
"""Where the plane lies, in millimetres above the origin of the template."""

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_MASK = "#00b4d8"


def main(folder: Path) -> None:
    """Run every step."""
    folder.mkdir(parents=True, exist_ok=True)
    volume, truth = brain_data.load()
    head = folder / "head.nii.gz"
    template = brain_data.datasets.load_mni152_template(resolution=1)
    stored = np.rint(volume * 1000).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(stored, template.affine), head)
    series = folder / "series"
    write_series(series, stored, template.affine)
    archive = quickstart.pack(brain_data.train(volume, truth), volume, folder / "model_zoo")
    server = TorchServe(folder / "server", archive.parent, [archive.name], config=quickstart.CONFIG)
    masks = [folder / "mask_of_nifti.nii.gz", folder / "mask_of_dicom.nii.gz"]
    with server:
        server.wait_ready("brain")
        for source, mask in zip((head, series), masks, strict=True):
            predict(server, source, mask)
    picture([head, series], masks, folder / "client-nifti.png")


def predict(server: TorchServe, source: Path, mask: Path) -> None:
    """Run ``eisen-client predict`` on a file or folder."""
    command = [
        *("eisen-client", "predict", f"{server.inference_url}/predictions/brain"),
        *("--input", f"image={source}", "--output", f"mask={mask}", "--overwrite"),
        *("--orientation", "RAS", "--token-file", str(server.folder / "key_file.json")),
    ]
    print("    $", " ".join(command), flush=True)
    program = Path(sys.executable).parent / command[0]
    subprocess.run([str(program), *command[1:]], check=True)  # noqa: S603 - our own command


def write_series(folder: Path, volume: npt.NDArray[np.int16], affine: Array) -> None:
    """Write a volume (x, y, z) as sagittal slices: columns to the back, rows downwards."""
    folder.mkdir(exist_ok=True)
    common = _common(volume.shape)
    for x in range(volume.shape[0]):
        image = Dataset()
        image.update(common)
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = MRImageStorage
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        corner = affine @ [x, volume.shape[1] - 1, volume.shape[2] - 1, 1]
        image.ImagePositionPatient = [float(place) for place in (_LPS_TO_RAS @ corner)[:3]]
        image.PixelData = volume[x, ::-1, ::-1].T.astype("<i2").tobytes()
        image.save_as(folder / f"{x:03}.dcm", enforce_file_format=True)


def _common(shape: tuple[int, ...]) -> Dataset:
    common = Dataset()
    common.Modality, common.PatientName, common.PatientID = "MR", "Template^MNI152", "none"
    common.StudyInstanceUID, common.SeriesInstanceUID = generate_uid(), generate_uid()
    common.FrameOfReferenceUID = generate_uid()
    common.Columns, common.Rows = shape[1], shape[2]
    common.SamplesPerPixel, common.PhotometricInterpretation = 1, "MONOCHROME2"
    common.BitsAllocated, common.BitsStored, common.HighBit = 16, 16, 15
    common.PixelRepresentation = 1
    common.PixelSpacing, common.SliceThickness = [1, 1], 1
    common.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    return common


def picture(sources: list[Path], masks: list[Path], path: Path) -> None:
    """Draw one plane of each image with its mask over it."""
    figure = Figure(figsize=(11, 6), facecolor="white", layout="constrained")
    titles = ("NIfTI file", "DICOM series")
    for axes, source, mask, title in zip(
        figure.subplots(1, 2), sources, masks, titles, strict=True
    ):
        image = files.read(source)
        if image.grid is None:
            raise SystemExit(f"{source} has no geometry")
        codes = "".join(nibabel.aff2axcodes(image.grid.affine))
        written = nibabel.load(mask)
        np.testing.assert_allclose(written.affine, image.grid.affine, atol=1e-4)
        axes.set_title(f"{title}, axes {codes}, {' x '.join(map(str, image.grid.shape))}")
        _draw(axes, image.value, np.asanyarray(written.dataobj), image.grid.affine)
    figure.suptitle(f"Axial plane, {HEIGHT:.0f} mm above the origin, with the mask of eisen-client")
    figure.savefig(path, dpi=110)


def _draw(axes: Axes, image: Array, mask: Array, affine: Array) -> None:
    right, front = np.meshgrid(np.arange(-85, 86), np.arange(-120, 86))
    places = np.stack([right, front, np.full(right.shape, HEIGHT), np.ones(right.shape)])
    indices = np.rint(np.einsum("ij,jrc->irc", np.linalg.inv(affine), places))[:3].astype(int)
    box = [right.min(), right.max(), front.min(), front.max()]
    axes.imshow(image[tuple(indices)], cmap="gray", origin="lower", extent=box)
    inside = np.ma.masked_equal(mask[tuple(indices)], 0)
    colours = ListedColormap([_MASK])
    axes.imshow(inside, cmap=colours, alpha=0.4, origin="lower", extent=box, interpolation="none")
    axes.set_xlabel("mm to the right")
    axes.set_ylabel("mm to the front")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "client-nifti"))
