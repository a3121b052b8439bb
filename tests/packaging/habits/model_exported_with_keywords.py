"""A program exported with keyword arguments."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Net(torch.nn.Module):
    def forward(self, x, *, shift):
        return 2 * x - shift


batch = {0: torch.export.Dim("batch")}
MODEL = torch.export.export(
    Net(),
    (torch.zeros(2, 2),),
    {"shift": torch.zeros(2, 2)},
    dynamic_shapes={"x": batch, "shift": batch},
)


def answer_itself(d):
    return {
        "y": MODEL.module()(torch.from_numpy(d["x"]), shift=torch.from_numpy(d["shift"])).numpy()
    }


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
