"""Hooks change what goes in and what comes out."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

MODEL = torch.nn.Sequential(torch.nn.Identity())
MODEL.register_forward_pre_hook(lambda module, given: (given[0] * 2,))
MODEL[0].register_forward_hook(lambda module, given, out: out + 1)


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
