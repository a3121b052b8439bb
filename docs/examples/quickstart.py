"""From a trained model to a prediction on a workstation, on a real T1 volume.

Trains a small 3-D U-Net to mask the brain in the MNI template, packs it with its transforms and
metadata, serves the archive with TorchServe, and sends the volume with the client. Prints the Dice
score on slabs that were not trained on and the time of each stage, and writes a picture.

Usage: ``python quickstart.py [FOLDER]``; archive, logs and picture go to FOLDER (``quickstart``).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

import brain_data
import brain_unet
from eisen_deploy.client import EisenServingClient
from eisen_deploy.packaging import EisenServingMAR, create_metadata
from eisen_deploy.serving.engines.torchserve.launcher import TorchServe

# The volume is 35 MB as float32; by default, TorchServe accepts 6.5 MB.
CONFIG = {
    "max_request_size": str(64 * 2**20),
    "max_response_size": str(64 * 2**20),
    "default_workers_per_model": "1",
}
GOAL = 0.90

seconds: dict[str, float] = {}


def main(folder: Path) -> int:
    """Run every stage; return 0 if the mask is good."""
    with stage("load the template"):
        volume, truth = brain_data.load()
    with stage("train"):
        model = brain_data.train(volume, truth)
    with stage("pack"):
        archive = pack(model, volume, folder / "model_zoo")
    server = TorchServe(folder / "server", archive.parent, [archive.name], config=CONFIG)
    with server:
        with stage("start the server"):
            print("    $", " ".join(["torchserve", *server.command[1:]]), flush=True)
            server.wait_ready("brain", tick=show_waiting)
        with stage("predict"):
            mask = predict(server, volume)
        start = time.monotonic()
    seconds["stop the server"] = time.monotonic() - start
    picture = folder / "brain.png"
    with stage("draw"):
        brain_data.picture(volume, mask, truth, picture)
    report_times()
    print(f"Picture: {picture}")
    return report_quality(mask, truth, volume, model)


def pack(model: brain_unet.UNet3d, volume: brain_data.Floats, store: Path) -> Path:
    """Put model, transforms, metadata and a sample into one archive.

    The classes of model and transforms are in ``brain_unet.py``, which ``pack`` finds and copies.
    """
    metadata = create_metadata(
        ["image"],
        ["ndarray"],
        [[-1, 1, -1, -1, -1]],
        ["mask"],
        ["ndarray"],
        [[-1, 1, -1, -1, -1]],
        model_output_list=["logits"],
        custom_meta_dict={"modality": "T1", "voxel_size_mm": [1, 1, 1]},
    )
    mar = EisenServingMAR(brain_unet.pre_processing(), brain_unet.post_processing(), metadata)
    sample = {"image": volume[np.newaxis, np.newaxis, 64:128, 64:128, 64:128]}
    return mar.pack(model, store, "brain", "1.0", sample=sample, overwrite=True)


def predict(server: TorchServe, volume: brain_data.Floats) -> brain_data.Mask:
    """Send a volume of shape (D, H, W) and get its mask of the same shape."""
    url = f"{server.inference_url}/predictions/brain"
    with EisenServingClient(url, validate_inputs=True, token=server.key()) as client:
        reply = client.predict({"image": volume[np.newaxis, np.newaxis]})
    mask: brain_data.Mask = reply["mask"][0, 0]
    return mask


def report_times() -> None:
    """Print the time of each stage."""
    for name, spent in seconds.items():
        print(f"    {name:<18} {spent:7.2f} s")


def report_quality(
    mask: brain_data.Mask,
    truth: brain_data.Mask,
    volume: brain_data.Floats,
    model: brain_unet.UNet3d,
) -> int:
    """Print how good the mask is, and whether serving changed it; return 0 if it is good."""
    unseen = brain_data.held_out(truth)
    dice = brain_data.dice(brain_data.held_out(mask), unseen)
    baseline = brain_data.dice(brain_data.held_out(volume) > 0, unseen)
    differences = int(np.count_nonzero(mask != predict_here(model, volume)))
    print(f"Voxels that differ from the same model run in this process: {differences}")
    print(f"Dice on slabs not trained on: {dice:.3f} (goal {GOAL:.2f}; T1 > 0 has {baseline:.3f})")
    return 0 if dice >= GOAL and differences == 0 else 1


def predict_here(model: brain_unet.UNet3d, volume: brain_data.Floats) -> brain_data.Mask:
    """Run model and transforms without a server."""
    batch = brain_unet.pre_processing()({"image": volume[np.newaxis, np.newaxis]})
    with torch.inference_mode():
        logits = model(torch.from_numpy(batch["image"])).numpy()
    mask: brain_data.Mask = brain_unet.post_processing()({**batch, "logits": logits})["mask"][0, 0]
    return mask


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Print what is being done, and record how long it takes."""
    print(f"==> {name}", flush=True)
    start = time.monotonic()
    yield
    seconds[name] = time.monotonic() - start


def show_waiting(waited: float) -> None:
    """Show on a terminal that the program is waiting for the server."""
    if sys.stdout.isatty():
        print(f"\r    waiting for the model to answer: {waited:3.0f} s ", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "quickstart")))
