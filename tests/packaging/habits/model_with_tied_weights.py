"""One weight is used in two places; what changes the one changes the other."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.coder, self.decoder = torch.nn.Embedding(4, 2), torch.nn.Linear(2, 4, bias=False)
        torch.manual_seed(0)
        torch.nn.init.normal_(self.coder.weight)
        self.decoder.weight = self.coder.weight

    def forward(self, x):
        self.coder.weight[0] += 1
        return self.decoder(x)[:, :2]


MODEL = Net()


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
VARIES = True
