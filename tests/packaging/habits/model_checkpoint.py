"""A checkpoint of training."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

MODEL = {"epoch": 3, "state_dict": torch.nn.Linear(2, 2).state_dict(), "loss": 0.1}
REFUSED = "got dict: it is a checkpoint"


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
