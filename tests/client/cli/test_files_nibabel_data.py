"""All images that nibabel ships for its tests, but DICOM: read as it reads them, or refused."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import nibabel
import numpy as np
import pytest

from eisen_deploy.client import files

ROOT = Path(nibabel.__file__).parent
KIND = "not in a format that is read here|is compressed by gzip"
READ = {
    *("anatomical.nii", "example4d.nii.gz", "example_nifti2.nii.gz", "functional.nii"),
    *("reoriented_anat_moved.nii", "resampled_anat_moved.nii", "standard.nii.gz"),
}
REFUSED = {
    "row_major.dconn.nii": r"is CIFTI \(intent_code 3001\), and not a NIfTI volume",
    "*.dcm.gz": KIND,
    **dict.fromkeys(("*.hdr", "*.mgz", "*.mnc", "*.v", "*.PAR", "*.REC"), KIND),
    **dict.fromkeys(("*.BRIK", "*.BRIK.gz", "*.HEAD", "*.gii", "*.gii.gz", "*.gii.bz2"), KIND),
}
NO_IMAGES = (
    "*.dcm",
    "*.py",
    "*.pyc",
    "*.m",
    "*.rst",
    "*.txt",
    "*.trk",
    "*.tck",
    "*.nc",
    "*.bin*",
    "*.dat",
)


def shipped() -> list[Path]:
    found = (path for path in ROOT.rglob("tests/data/*") if path.is_file() and path.name[0] != ".")
    return sorted(path for path in found if not any(fnmatch(path.name, p) for p in NO_IMAGES))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_image_is_in_one_list():
    for path in shipped():
        patterns = [pattern for pattern in (*READ, *REFUSED) if fnmatch(path.name, pattern)]
        assert len(patterns) == 1, name_of(path)
    assert {path.name for path in shipped()} >= READ


@pytest.mark.parametrize("path", [p for p in shipped() if p.name in READ], ids=name_of)
def test_read(path):
    image = files.read(path)
    source = nibabel.load(path)
    values = np.asanyarray(source.dataobj)
    found = image.value if image.value.ndim == 3 else np.moveaxis(image.value, 0, 3)
    np.testing.assert_allclose(found.reshape(values.shape), values, rtol=1e-6)
    np.testing.assert_allclose(image.grid.affine, source.affine, atol=1e-4)


@pytest.mark.parametrize("path", [p for p in shipped() if p.name not in READ], ids=name_of)
def test_refused(path):
    reason = next(reason for pattern, reason in REFUSED.items() if fnmatch(path.name, pattern))
    with pytest.raises(files.FileError, match=reason):
        files.read(path)
