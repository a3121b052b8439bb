"""What goes by name stands first in model_input_list."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Net(torch.nn.Module):
    @torch.no_grad()
    def forward(self, x, *, shift=0):
        return 2 * x - shift


MODEL = Net()


def answer_itself(d):
    return {"y": MODEL(torch.from_numpy(d["x"]), shift=torch.from_numpy(d["shift"])).numpy()}


PRE = POST = None
METADATA = create_metadata(
    ["x", "shift"],
    ["ndarray", "ndarray"],
    [[-1, 2], [-1, 2]],
    ["y"],
    ["ndarray"],
    [[-1, 2]],
    ["shift", "x"],
    ["y"],
)
REQUESTS = [{"x": np.ones((1, 2), np.float32), "shift": np.full((1, 2), 3, np.float32)}]
