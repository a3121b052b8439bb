"""Data for the brain-mask example: the MNI152 template, its split into slabs, a short training.

The volume is the T1-weighted ICBM 2009a symmetric template at 1 mm (Fonov et al., NeuroImage 2011),
an average of 152 people, which nilearn ships inside its package together with the probability maps
of grey and white matter. Nothing is downloaded. The skull has been removed from it already, so the
task is to separate brain tissue from the cerebrospinal fluid in and around it, and from air.

That is an easy task, chosen to show the way of a real volume through a server, not to rank methods:
on the held-out slabs T1 > 0 reaches a Dice of 0.95, and a threshold fitted to the trained slabs
0.99, as the network does. All slabs, held out or not, belong to one volume.

Arrays are indexed (x, y, z) = (left to right, posterior to anterior, inferior to superior), and
one voxel is 1 mm wide along every axis.

Needs, beyond numpy and torch: nilearn and matplotlib.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from nilearn import datasets

from brain_unet import NormaliseIntensity, UNet3d

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["HELD_OUT", "TRAINED", "dice", "held_out", "load", "picture", "train"]

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.uint8]
Scalar = TypeVar("Scalar", bound=np.generic)

TRAINED = ((0, 30), (58, 82), (110, 130))
"""Axial slabs whose voxels, image and mask alike, the training may see: z in [from, to), voxels."""

HELD_OUT = ((34, 54), (86, 106), (134, 150))
"""Axial slabs that only the evaluation sees: z in [from, to), voxels.

Between a trained and a held-out slab lie 4 voxels that neither uses, so that no trained voxel
neighbours a held-out one. The slabs are axial because the template is exactly symmetric: a cut
between left and right would put the mirror image of every held-out voxel into the training.
"""

_PATCH = (64, 64, 16)
_BATCH = 2

# Axis that the slice cuts, and where. The sagittal slice lies beside the midline, in a hemisphere;
# the axial one in the middle of a held-out slab.
_VIEWS = ((0, 76), (1, 116), (2, 96))
_Z = 2
_TITLES = ("sagittal, x", "coronal, y", "axial, z")
_EDGES = (("left", "right"), ("posterior", "anterior"), ("inferior", "superior"))
_PREDICTED, _REFERENCE, _WRONG, _SLAB = "#00b4d8", "#ffd166", "#ff1f3d", "#7fd17f"


def load() -> tuple[Floats, Mask]:
    """Load the template and its brain mask.

    A voxel belongs to the mask where it is more likely than not grey or white matter. That leaves
    out the fluid in the ventricles and around the brain, which T1 > 0 would include.

    :return: T1 intensities from 0 to 1 and mask of 0 and 1, both of shape (197, 233, 189)
    """
    volume = datasets.load_mni152_template(resolution=1).get_fdata(dtype=np.float32)
    grey = datasets.load_mni152_gm_template(resolution=1).get_fdata(dtype=np.float32)
    white = datasets.load_mni152_wm_template(resolution=1).get_fdata(dtype=np.float32)
    # nibabel reads in Fortran order.
    mask = np.ascontiguousarray(grey + white > 0.5, dtype=np.uint8)
    return np.ascontiguousarray(volume), mask


def held_out(volume: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """Return the held-out slices of an array of shape (..., D, H, W), along its last axis."""
    return np.concatenate([volume[..., start:stop] for start, stop in HELD_OUT], axis=-1)


def dice(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Return the Dice coefficient of two masks of one shape: 0 disjoint, 1 equal (or both empty).

    :raises ValueError: if the shapes differ
    """
    a, b = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    if a.shape != b.shape:
        raise ValueError(f"masks differ in shape: {a.shape} and {b.shape}")
    total = np.count_nonzero(a) + np.count_nonzero(b)
    return 2 * np.count_nonzero(a & b) / total if total else 1.0


def train(volume: Floats, mask: Mask, steps: int = 300, seed: int = 0) -> UNet3d:
    """Train a network on patches from the trained slabs.

    :param volume: raw T1 intensities, shape (D, H, W)
    :param mask: the brain in it, 0 and 1, shape (D, H, W)
    :param steps: number of mini-batches; 300 take about 25 s on two cores
    :param seed: fixes the initial weights and the patches
    :return: the network, in evaluation mode
    """
    rng = np.random.default_rng(seed)
    model = _initial_model(seed)
    optimiser = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=0.01, total_steps=steps)
    # One scale for the whole volume, as on the server; the only thing learnt from held-out voxels.
    volume = NormaliseIntensity()({"image": volume[None, None]})["image"][0, 0]
    progress = _Progress(steps)
    for step in range(1, steps + 1):
        image, target = _mini_batch(volume, mask, rng)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(image), target)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimiser.step()
        schedule.step()
        progress.show(step, loss.item())
    return model.eval()


def _initial_model(seed: int) -> UNet3d:
    """Return a network with seeded weights, leaving torch's own generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet3d()


def _mini_batch(
    volume: Floats, mask: Mask, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw patches of image and mask, float32 of shape (N, 1, 64, 64, 16) each."""
    pairs = [_augmented(*_patch(volume, mask, rng), rng) for _ in range(_BATCH)]
    images, targets = zip(*pairs, strict=True)
    return torch.from_numpy(np.stack(images)[:, None]), torch.from_numpy(np.stack(targets)[:, None])


def _patch(volume: Floats, mask: Mask, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Cut one patch that lies entirely in a trained slab."""
    low, high = TRAINED[rng.integers(len(TRAINED))]
    first = (0, 0, low)
    last = (volume.shape[0] - _PATCH[0], volume.shape[1] - _PATCH[1], high - _PATCH[2])
    corner = rng.integers(first, last, endpoint=True)
    box = tuple(slice(start, start + size) for start, size in zip(corner, _PATCH, strict=True))
    return volume[box], mask[box].astype(np.float32)


def _augmented(image: Floats, target: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Mirror a patch at random and let its intensity drift, as the coils of a scanner do."""
    flips = tuple(axis for axis in (0, 1) if rng.integers(2))
    image, target = np.flip(image, flips), np.flip(target, flips)
    gain = np.full((1, 1, 1), rng.uniform(0.95, 1.05))
    for axis, size in enumerate(image.shape):
        others = [other for other in range(3) if other != axis]
        ramp = np.expand_dims(np.linspace(-1, 1, size), others)
        gain = gain + rng.uniform(-0.05, 0.05) * ramp
    return (image * gain).astype(np.float32), target


class _Progress:
    """Rewrite one line on a terminal; elsewhere, print a line for every tenth of the steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.live = sys.stdout.isatty()
        self.start = time.monotonic()

    def show(self, step: int, loss: float) -> None:
        seconds = time.monotonic() - self.start
        text = f"training: step {step:{len(str(self.steps))}}/{self.steps}"
        text += f"  loss {loss:.4f}  {seconds:4.0f} s"
        if self.live:
            print(f"\r{text}", end="\n" if step == self.steps else "", flush=True)
        elif step * 10 // self.steps > (step - 1) * 10 // self.steps:
            print(text, flush=True)


def picture(volume: Floats, mask: Mask, truth: Mask, path: str | Path) -> None:
    """Write a PNG of three orthogonal slices: prediction, reference, and held-out slabs.

    The view is neurological: the left of the head is on the left.

    :param volume: T1 intensities, shape (D, H, W)
    :param mask: predicted mask, 0 and 1, shape (D, H, W)
    :param truth: reference mask, 0 and 1, shape (D, H, W)
    :param path: where to write it
    """
    depth, height, _ = volume.shape
    # Panels as wide as their slices, so that all three have one scale.
    figure = Figure(figsize=(13, 5), facecolor="white", layout="constrained")
    panels = figure.subplots(1, 3, width_ratios=(height, depth, depth))
    for axes, (axis, index) in zip(panels, _VIEWS, strict=True):
        slices = [np.take(array, index, axis).T for array in (volume, mask, truth)]
        _show_slice(axes, *slices)
        _annotate(axes, axis, index)
    figure.suptitle(f"Brain mask, Dice on the held-out slabs: {_held_out_dice(mask, truth):.3f}")
    figure.legend(handles=_legend(), loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(Path(path), dpi=110)


def _held_out_dice(mask: Mask, truth: Mask) -> float:
    return dice(held_out(mask), held_out(truth))


def _show_slice(axes: Axes, image: Floats, mask: Mask, truth: Mask) -> None:
    """Draw a slice in grey, the prediction over it, its errors, and the reference's outline."""
    axes.imshow(image, cmap="gray", origin="lower", interpolation="bilinear")
    _overlay(axes, (mask != 0) & (truth != 0), _PREDICTED, 0.3)
    _overlay(axes, (mask != 0) != (truth != 0), _WRONG, 1.0)
    axes.contour(truth, levels=[0.5], colors=_REFERENCE, linewidths=0.7)


def _overlay(axes: Axes, where: npt.NDArray[np.bool_], colour: str, alpha: float) -> None:
    """Colour the pixels of a slice that are set."""
    pixels = np.ma.masked_where(~where, where)
    colours = ListedColormap([colour])
    axes.imshow(pixels, cmap=colours, alpha=alpha, origin="lower", interpolation="nearest")


def _annotate(axes: Axes, axis: int, index: int) -> None:
    """Title the slice, name its directions, and mark the held-out slabs that cross it."""
    across, up = (other for other in range(3) if other != axis)
    inside = axis == _Z and any(start <= index < stop for start, stop in HELD_OUT)
    axes.set_title(f"{_TITLES[axis]} = {index}" + (" (held out)" if inside else ""))
    axes.set_xlabel("{} \N{LEFT RIGHT ARROW} {}".format(*_EDGES[across]))
    axes.set_ylabel("{} \N{LEFT RIGHT ARROW} {}".format(*_EDGES[up]))
    axes.set_xticks([])
    axes.set_yticks([z for slab in HELD_OUT for z in slab] if up == _Z else [])
    for start, stop in HELD_OUT if up == _Z else ():
        axes.axhspan(start - 0.5, stop - 0.5, color=_SLAB, alpha=0.25, linewidth=0)


def _legend() -> list[Patch | Line2D]:
    return [
        Patch(color=_PREDICTED, alpha=0.6, label="predicted brain"),
        Line2D([], [], color=_REFERENCE, label="reference outline"),
        Patch(color=_WRONG, label="where they differ"),
        Patch(color=_SLAB, alpha=0.5, label="held-out slab (never trained on)"),
    ]
