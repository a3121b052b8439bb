"""Weight norm as torch did it before, by a hook."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

torch.manual_seed(0)
MODEL = torch.nn.Sequential(torch.nn.utils.weight_norm(torch.nn.Linear(2, 2)))
MODEL(torch.ones(1, 2)).sum().backward()


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
