"""The module of the model imports what packs it where that is used."""

import numpy as np
import packs_itself_later

from eisen_deploy.packaging import create_metadata

MODEL = packs_itself_later.Double()


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
