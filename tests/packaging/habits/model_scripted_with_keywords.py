"""A scripted model that takes its second input by name only."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Net(torch.nn.Module):
    def forward(self, x, *, shift):
        return 2 * x - shift


MODEL = torch.jit.script(Net())


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
    ["x", "shift"],
    ["y"],
)
REQUESTS = [{"x": np.ones((1, 2), np.float32), "shift": np.full((1, 2), 3, np.float32)}]
