"""An ensemble as a list."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

MODEL = [torch.nn.Linear(2, 2) for _ in range(3)]
REFUSED = "got list: pack each by itself"


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
