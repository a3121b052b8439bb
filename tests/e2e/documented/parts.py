"""A reader's model and transforms."""

import numpy as np
import torch


class Net(torch.nn.Module):
    def forward(self, image):
        return 2 * image


def pre_processing(batch):
    return batch


def post_processing(batch):
    scores = batch["logits"] if "logits" in batch else batch["output"]
    return {"mask": (scores > 0).astype(np.uint8)}
