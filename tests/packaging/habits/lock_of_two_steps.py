"""One lock and one queue belong to both steps."""

import queue
import threading

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

LOCK = threading.RLock()
WAITING = queue.Queue()


def pre(d):
    with LOCK:
        WAITING.put(float(d["x"].max()))
        return d


def post(d):
    with LOCK:
        return {**d, "y": d["y"] + WAITING.get(timeout=5)}


PRE, POST, MODEL = pre, post, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
