from __future__ import annotations


def rescale(batch):
    image = batch["image"]
    return {**batch, "image": (image - image.min()) / (image.max() - image.min())}
