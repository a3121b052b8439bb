"""Post-processing holds a network with a layer that never had an input."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Calibrate:
    def __init__(self):
        self.net = torch.nn.LazyLinear(2)

    def __call__(self, d):
        return {**d, "y": self.net(torch.from_numpy(d["y"])).numpy()}


MODEL = torch.nn.Identity()
REFUSED = "post_processing cannot be serialized: PicklingError: a layer never had an input"


PRE, POST = None, Calibrate()
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
