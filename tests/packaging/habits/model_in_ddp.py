"""A model as it comes out of distributed training."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

torch.distributed.init_process_group(
    "gloo", store=torch.distributed.HashStore(), rank=0, world_size=1
)
torch.manual_seed(0)
MODEL = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(2, 2))


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
