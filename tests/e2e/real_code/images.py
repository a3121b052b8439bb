"""Volumes of real scanners, from the test data that nibabel ships: shape (N, 1, D, H, W)."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

DATA = Path(nibabel.__file__).parent / "tests" / "data"


def anatomical():
    """One T1 volume."""
    return load("anatomical.nii")[None, None]


def functional():
    """Two time points of an echo-planar series, of another size."""
    series = load("example4d.nii.gz")[32:96, 16:80]
    return np.ascontiguousarray(np.moveaxis(series, -1, 0)[:, None])


def load(name):
    return nibabel.load(DATA / name).get_fdata(dtype=np.float32)
