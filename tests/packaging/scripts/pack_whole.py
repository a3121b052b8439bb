"""Packs one archive with all that an archive can hold; prints the day, and the archive's SHA-256.

Usage: ``python pack_whole.py FOLDER``. Its neighbour ``nets`` travels as captured code.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import sys
from pathlib import Path

import nets
import numpy as np
import torch

from eisen_deploy.packaging import EisenServingMAR, create_metadata

LABELS = {"liver", "spleen", "kidney", "aorta"}


class Label(nets.Base):
    def __call__(self, batch):
        return {**batch, "labels": sorted(LABELS), "mask": batch["logits"] > nets.THRESHOLD}


def main(folder):
    torch.manual_seed(7)
    metadata = create_metadata(
        ["image"],
        ["ndarray"],
        [[-1, 1, -1, -1]],
        ["mask", "labels", "logits"],
        ["ndarray", "list", "ndarray"],
        [[-1, 2, -1, -1], [], [-1, 2, -1, -1]],
        model_output_list=["logits"],
    )
    packer = EisenServingMAR(lambda batch: {"image": batch["image"] * 2}, Label(), metadata)
    archive = packer.pack(
        nets.Net(),
        folder,
        "whole",
        sample={"image": np.random.default_rng(1).random((1, 1, 16, 16), np.float32)},
        requirements=["packaging"],
        serving={"batch_size": 4, "workers": 2},
        additional_files=[Path(__file__).with_name("notes")],
    )
    print(dt.datetime.now(dt.timezone.utc).date())
    print(hashlib.sha256(archive.read_bytes()).hexdigest())


if __name__ == "__main__":
    main(sys.argv[1])
