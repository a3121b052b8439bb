"""A dict of several networks."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

MODEL = {"generator": torch.nn.Linear(2, 2), "critic": torch.nn.Linear(2, 2)}
REFUSED = "got dict: pass the module in it, under 'generator'"


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
