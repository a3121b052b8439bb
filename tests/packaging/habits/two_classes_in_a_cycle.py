"""Two classes that make each other, with super() without arguments."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Node:
    depth = 0

    def __init__(self, depth):
        self.depth = depth

    def child(self):
        return Leaf(self.depth + 1)


class Leaf(Node):
    def __init__(self, depth):
        super().__init__(depth)
        self.parent = Node

    def child(self):
        return self.parent(self.depth + 1) if self.depth < 5 else super().child()


def pre(d):
    node = Node(0)
    for _ in range(4):
        node = node.child()
    return {**d, "x": d["x"] + node.depth + 10 * isinstance(node, Leaf)}


PRE, POST, MODEL = pre, None, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
