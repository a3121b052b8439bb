"""Weights averaged over the last epochs."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

torch.manual_seed(0)
net = torch.nn.Linear(2, 2)
MODEL = torch.optim.swa_utils.AveragedModel(net)
with torch.no_grad():
    net.weight += 1
MODEL.update_parameters(net)
with torch.no_grad():
    net.weight += 1
MODEL.update_parameters(net)


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
