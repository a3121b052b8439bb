"""Locks of all kinds, some of them held while packing."""

import threading

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Pre:
    def __init__(self):
        self.lock, self.again = threading.Lock(), threading.RLock()
        self.condition = threading.Condition(self.again)
        self.bounded, self.semaphore = threading.BoundedSemaphore(1), threading.Semaphore(2)
        self.ready, self.local = threading.Event(), threading.local()
        self.python = threading._RLock()
        self.barrier = threading.Barrier(1)
        self.ready.set()

    def __call__(self, d):
        assert self.ready.wait(1)
        self.local.value = 2
        for lock in (self.lock, self.again, self.bounded, self.python):
            assert lock.acquire(timeout=5)
            lock.release()
        with self.condition, self.semaphore:
            assert self.again._is_owned()
            self.condition.notify_all()
            self.barrier.wait(5)
            return {**d, "x": d["x"] * self.local.value}


PRE, POST, MODEL = Pre(), None, torch.nn.Identity()
HELD = [PRE.lock, PRE.again, PRE.bounded, PRE.python]

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
