"""A layer that takes its size from its first input, packed before it had one."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

MODEL = torch.nn.Sequential(torch.nn.Identity(), torch.nn.LazyLinear(2))
REFUSED = "model: 1 never had an input"


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
