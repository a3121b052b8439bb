"""torchio's transforms and patches in an archive, answered as torchio itself does."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from documented_pages import code_of, commands_of  # noqa: E402

REFUSED = """
import torchio as tio
from eisen_deploy.packaging import EisenServingMAR, InvalidArgument, create_metadata

metadata = create_metadata(["image"], ["ndarray"], [[-1, -1, -1, -1]], [], [], [])
chain = tio.Compose([tio.Resample(2)], include=["image"])
try:
    EisenServingMAR(chain, tio.Clamp(0, 1), metadata)
except InvalidArgument as error:
    print(*error.problems, sep="\\n")
"""


@pytest.fixture(scope="module")
def run(trainer):
    return trainer("torchio", "torchio==1.2.1")


def test_the_page_s_archive_gives_the_mask_of_torchio(run, head, tmp_path):
    (tmp_path / "page.py").write_text(code_of("torchio"), "utf-8")
    run("python", HERE / "torchio_pipeline.py", cwd=tmp_path)
    (command,) = commands_of("torchio")
    printed = run(*shlex.split(command), cwd=tmp_path)

    assert printed == "mask.nii.gz: uint8, 32 x 48 x 16\n"
    mask, expected = (nibabel.load(tmp_path / name) for name in ("mask.nii.gz", "expected.nii.gz"))
    np.testing.assert_array_equal(mask.get_fdata(), expected.get_fdata())
    np.testing.assert_allclose(mask.affine, expected.affine, atol=1e-4)
    assert 0.1 < mask.get_fdata().mean() < 0.9


def test_a_transform_of_torchio_itself_is_refused(run, tmp_path):
    printed = run("python", "-c", REFUSED, cwd=tmp_path)
    what = "takes images with their affines, and a request brings a batch of arrays"
    assert printed.splitlines() == [
        f"pre_processing: Compose of torchio {what}: call it in a function, on each image",
        f"post_processing: Clamp of torchio {what}: call it in a function, on each image",
    ]
