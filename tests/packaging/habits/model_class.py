"""A class in place of its instance."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

MODEL = torch.nn.Identity
REFUSED = "got Identity: it is a class, pass an instance"


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
