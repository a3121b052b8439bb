"""eisen-core, the library for which all this was made: what of it works today, and how."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from documented_pages import code_of, commands_of  # noqa: E402


@pytest.fixture(scope="module")
def run(trainer):
    return trainer("eisen-core", "eisen-core==0.0.9")


def test_the_page_s_archive_gives_the_mask_of_eisen(run, head, tmp_path):
    (tmp_path / "page.py").write_text(code_of("eisen-core"), "utf-8")
    run("python", HERE / "eisen_core_pipeline.py", cwd=tmp_path)
    _, command = commands_of("eisen-core")
    printed = run(*shlex.split(command), cwd=tmp_path)

    assert printed == "mask.nii.gz: float32, 32 x 48 x 16\n"
    mask, expected = (nibabel.load(tmp_path / name) for name in ("mask.nii.gz", "expected.nii.gz"))
    np.testing.assert_array_equal(mask.get_fdata(), expected.get_fdata())
    np.testing.assert_array_equal(mask.affine, expected.affine)
    assert 0.1 < mask.get_fdata().mean() < 0.9


def test_all_of_eisen_still_works(run, tmp_path):
    found = json.loads(run("python", HERE / "eisen_core_parts.py", cwd=tmp_path))
    assert {*found["imports"].values(), *found["models"].values()} == {"works"}
    assert found["resample"] == "works"
