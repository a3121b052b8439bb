"""All inputs are named for the model, and it takes one."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

MODEL = torch.nn.Linear(2, 2)
REFUSED = "it takes 1 by position (input), 1 of them needed, and gets 2 (x, shift)"


PRE = POST = None
METADATA = create_metadata(
    ["x", "shift"],
    ["ndarray", "ndarray"],
    [[-1, 2], [-1, 2]],
    ["y"],
    ["ndarray"],
    [[-1, 2]],
    None,
    ["y"],
)
REQUESTS = [{"x": np.ones((1, 2), np.float32), "shift": np.full((1, 2), 3, np.float32)}]
