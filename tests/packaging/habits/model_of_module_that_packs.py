"""The module of the model imports what packs it."""

import numpy as np
import packs_itself

from eisen_deploy.packaging import create_metadata

MODEL = packs_itself.Double()
REFUSED = "packs_itself, line 5 (packs_itself.py) needs the module eisen_deploy.packaging"


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
