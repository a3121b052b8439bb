"""The model is still in training mode: it is served in evaluation mode."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

torch.manual_seed(0)
MODEL = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Dropout(0.5)).train()
MODEL(torch.randn(8, 2))


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
