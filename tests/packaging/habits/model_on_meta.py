"""A model made without memory, whose weights were to be loaded later."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

with torch.device("meta"):
    MODEL = torch.nn.Linear(2, 2)
REFUSED = "weight, bias on the device meta"


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
