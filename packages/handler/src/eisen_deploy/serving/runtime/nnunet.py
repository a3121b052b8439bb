"""A trained nnU-Net v2 as one model, which predicts by nnU-Net's own code.

What nnU-Net's readers make of files is made here of a request: the axes of an image are (i, j, k)
and an affine places them, and nnU-Net takes (k, j, i) with the spacing in that order.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from copy import deepcopy
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .errors import InvalidInput

Array = NDArray[Any]

#: nnU-Net's readers whose arrays can be made of a request, and whether they turn them to RAS.
READERS = {"SimpleITKIO": False, "NibabelIO": False, "NibabelIOWithReorient": True}
_MOST_OF_A_VOXEL = 1000
_POSTPROCESSING = "nnunetv2.postprocessing.remove_connected_components"


class NNUNet(torch.nn.Module):
    """An ensemble of the folds of an nnU-Net, with all that surrounds its networks.

    :param networks: one for each fold.
    :param plans: nnU-Net's ``plans.json``.
    :param configuration: that of the networks in the plans, without inheritance.
    :param dataset: nnU-Net's ``dataset.json``.
    :param mirroring_axes: along which predictions are mirrored and averaged; ``None`` for none.
    :param postprocessing: nnU-Net's ``postprocessing.json``, if it is to be applied.
    """

    # Pickles know it by its public name, which an archive's handler provides too.
    __module__ = "eisen_deploy.serving"

    def __init__(
        self,
        networks: Sequence[torch.nn.Module],
        plans: Mapping[str, Any],
        configuration: Mapping[str, Any],
        dataset: Mapping[str, Any],
        *,
        mirroring_axes: Sequence[int] | None = None,
        postprocessing: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.folds = torch.nn.ModuleList(networks)
        self.plans = dict(plans)
        self.configuration = dict(configuration)
        self.dataset = dict(dataset)
        self.mirroring_axes = mirroring_axes
        self.postprocessing = postprocessing

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore it, and find out whether nnU-Net is here before the first request does."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        import_module("nnunetv2.inference.predict_from_raw_data")

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        """Return the mask of one image.

        :param values: the channels of the image, each (1, 1, i, j, k), and its affine (1, 4, 4)
            from indices to millimetres.
        :returns: labels (1, 1, i, j, k), of 8 or 16 bits.
        :raises InvalidInput: if the channels have different shapes, or the affine is of no image
            that the network can have been trained for.
        """
        *channels, affine = (value[0].cpu().numpy() for value in values)
        if len({channel.shape for channel in channels}) > 1:
            shapes = ", ".join(str([1, *channel.shape]) for channel in channels)
            raise InvalidInput([f"the channels of an image must have one shape, got {shapes}"])
        with _keep_threads():
            mask = self._predict(np.concatenate(channels), affine)
        return torch.from_numpy(mask)[None, None]

    def _predict(self, image: Array, affine: Array) -> Array:
        """Return the mask (i, j, k) of an image (channels, i, j, k)."""
        orientations = import_module("nibabel.orientations")
        sides = _measure_voxel(affine)
        turn, back = self._find_turns(affine)
        turned = orientations.apply_orientation(np.moveaxis(image, 0, -1), turn)
        spacing = np.empty(3)
        spacing[2 - turn[:, 0].astype(int)] = sides
        self._check_spacing(spacing)
        mask = self._make_predictor().predict_single_npy_array(
            turned.T, {"spacing": spacing.tolist()}
        )
        mask = self._post_process(mask)
        return np.ascontiguousarray(orientations.apply_orientation(mask.T, back))

    def _check_spacing(self, spacing: Array) -> None:
        """Refuse voxels that would be resampled to more of the network's than there can be."""
        target = np.array(self.configuration["spacing"])
        given = spacing[list(self.plans["transpose_forward"])][-len(target) :]
        if np.prod(given / target) > _MOST_OF_A_VOXEL:
            problem = (
                f"the affine of the image has voxels more than {_MOST_OF_A_VOXEL} times as large "
                "as those the network was trained for: is it in millimetres?"
            )
            raise InvalidInput([problem])

    def _find_turns(self, affine: Array) -> tuple[Array, Array]:
        """Return the turn from a request's axes to those of nnU-Net's reader, and back."""
        orientations = import_module("nibabel.orientations")
        stay = orientations.axcodes2ornt("RAS")
        if not READERS[self.plans["image_reader_writer"]]:
            return stay, stay
        turn = orientations.io_orientation(affine)
        return turn, orientations.ornt_transform(stay, turn)

    def _make_predictor(self) -> Any:
        """Return a predictor of one image: it has a network whose weights it exchanges."""
        nnunet = import_module("nnunetv2.inference.predict_from_raw_data")
        handling = import_module("nnunetv2.utilities.plans_handling.plans_handler")
        device = next(self.parameters()).device
        with redirect_stdout(io.StringIO()):  # it says on each CPU that it is no GPU
            predictor = nnunet.nnUNetPredictor(
                use_mirroring=self.mirroring_axes is not None, device=device, allow_tqdm=False
            )
        predictor.manual_initialization(
            deepcopy(self.folds[0]),
            handling.PlansManager(self.plans),
            handling.ConfigurationManager(dict(self.configuration)),
            [fold.state_dict() for fold in self.folds],
            self.dataset,
            "",  # the trainer has made the networks
            self.mirroring_axes,
        )
        return predictor

    def _post_process(self, mask: Array) -> Array:
        if self.postprocessing is None:
            return mask
        module = import_module(_POSTPROCESSING)
        steps = [getattr(module, name) for name in self.postprocessing["postprocessing_fns"]]
        arguments = self.postprocessing["postprocessing_kwargs"]
        processed: Array = module.apply_postprocessing(mask, steps, arguments)
        return processed


def _measure_voxel(affine: Array) -> Array:
    """Return the sides of a voxel in millimetres, as files of NIfTI hold them: in 32 bits."""
    sides: Array = np.linalg.norm(affine[:3, :3], axis=0).astype(np.float32).astype(np.float64)
    if not (np.isfinite(affine).all() and sides.min() > 0):
        raise InvalidInput(["the affine of an image must be finite, with no axis of length 0"])
    return sides


@contextmanager
def _keep_threads() -> Iterator[None]:
    """Undo what nnU-Net sets for its own steps, even where one of them is interrupted."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
