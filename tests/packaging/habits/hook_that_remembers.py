"""A hook of the model keeps features that the second step reads."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

FEATURES = {}


def keep(module, inputs, output):
    FEATURES["last"] = output.detach().numpy()


MODEL = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Hardtanh(0, 50))
MODEL[0].register_forward_hook(keep)


def post(d):
    return {**d, "y": d["y"] + FEATURES["last"]}


PRE, POST = None, post

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
