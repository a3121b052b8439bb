"""A setting of a module that the script changes, and functions made there."""

import numpy as np
import settings
import torch

from eisen_deploy.packaging import create_metadata

settings.FACTOR = 5.0

PRE, POST = settings.make_steps()
MODEL = torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
VARIES = True
