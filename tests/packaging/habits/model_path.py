"""The path of a file with the weights."""

import numpy as np

from eisen_deploy.packaging import create_metadata

MODEL = "model.pt"
REFUSED = "got str: it is a path"


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
