"""A trained folder as the arguments of ``EisenServingMAR`` and of ``pack``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eisen_deploy.packaging._bundles.anatomy import make_segment
from eisen_deploy.packaging._bundles.sampling import draw_waves
from eisen_deploy.packaging._metadata import create_metadata
from eisen_deploy.packaging._remarks import remark
from eisen_deploy.packaging._shared.model.metadata import AFFINE

from .reading import Trained

_IMAGE, _MASK = "image", "segmentation"
# One image in each request: nnU-Net predicts one at a time.
_VOLUME = [1, 1, -1, -1, -1]
_SAMPLE = (16, 20, 24)
# So much larger than the voxels of training are those of the sample: they are resampled.
_COARSER = 1.25


def make_arguments(trained: Trained) -> dict[str, Any]:
    """Return the arguments by name, with a sample that is made up."""
    names = _name_channels(trained)
    return {
        "model": trained.model,
        "pre_processing": None,
        "post_processing": None,
        "meta_data": _describe(trained, names),
        "model_name": str(trained.plans.get("dataset_name", trained.folder)),
        "requirements": ["nnunetv2"],
        "sample": _make_sample(trained, names),
    }


def _describe(trained: Trained, names: list[str]) -> dict[str, Any]:
    inputs = [*names, f"{names[0]}{AFFINE}"]
    about = {
        "folder": trained.folder,
        "folds": [*trained.folds],
        "channel_names": _get_channels(trained),
        "labels": trained.dataset["labels"],
    }
    custom: dict[str, Any] = {"nnunet": about}
    if segments := [*_list_segments(trained)]:
        custom["segments"] = segments
    return create_metadata(
        inputs,
        [*["ndarray[float32]"] * len(names), "ndarray[float64]"],
        [*[_VOLUME] * len(names), [1, 4, 4]],
        [_MASK],
        ["ndarray"],
        [_VOLUME],
        model_input_list=inputs,
        model_output_list=[_MASK],
        custom_meta_dict=custom,
    )


def _get_channels(trained: Trained) -> dict[str, str]:
    return dict(trained.dataset.get("channel_names") or trained.dataset["modality"])


def _name_channels(trained: Trained) -> list[str]:
    """Return a name for each channel: that of nnU-Net's files, ``image_0000`` and so on."""
    count = len(_get_channels(trained))
    return [f"{_IMAGE}_{number:04}" for number in range(count)] if count > 1 else [_IMAGE]


def _list_segments(trained: Trained) -> Iterator[dict[str, Any]]:
    """Yield what the numbers in the mask mean."""
    labels = {
        name: value if isinstance(value, list) else [value]
        for name, value in trained.dataset["labels"].items()
        if name != "ignore"
    }
    if any(len(numbers) > 1 for numbers in labels.values()):
        remark("no segments are declared: the labels are regions, which have no number each")
        return
    for name, (number,) in labels.items():
        if int(number):
            yield {**make_segment(int(number), str(name)), "output": _MASK}


def _make_sample(trained: Trained, names: list[str]) -> dict[str, NDArray[np.generic]]:
    """Return images of smooth waves, with voxels like those of training."""
    forward = trained.plans["transpose_forward"]
    spacing = np.empty(3)
    spacing[list(forward)] = trained.plans["original_median_spacing_after_transp"]
    sides = spacing[::-1] * _COARSER
    waves = draw_waves(_SAMPLE, len(names)).astype(np.float32)
    sample: dict[str, NDArray[np.generic]] = {
        name: wave[None, None] for name, wave in zip(names, waves, strict=True)
    }
    return {**sample, f"{names[0]}{AFFINE}": np.diag([-sides[0], -sides[1], sides[2], 1.0])[None]}
