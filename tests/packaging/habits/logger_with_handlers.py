"""The logger of a script, with a handler."""

import logging
import sys

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

LOG = logging.getLogger("script")
LOG.addHandler(logging.StreamHandler(sys.stderr))


def pre(d):
    LOG.info("a request")
    return d


PRE, POST, MODEL = pre, None, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
