"""A package that keeps what it learned in a file beside its code."""

from __future__ import annotations

import json
from importlib import resources

import numpy as np


class MatchHistogram:
    """Maps intensities by landmarks, which are read when they are needed (Nyul et al., 2000)."""

    def __init__(self, name):
        self.name = name

    def __call__(self, batch):
        text = resources.files(__package__).joinpath("landmarks.json").read_text("utf-8")
        levels, landmarks = json.loads(text)[self.name]
        image = batch["image"]
        mapped = np.interp(image, np.percentile(image, levels), landmarks)
        return {**batch, "image": mapped.astype(image.dtype)}
