"""The models' inputs and outputs; each model has the same weights in every process.

torch is imported only in functions, because clients that only echo do not need it.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

#: The shape of a request's array, by task. An echo's second axis is as long as its bytes ask for.
SHAPES = {
    "echo": (1, -1),
    "unet": (1, 1, 96, 96, 96),
    "cnn": (1, 3, 32, 32),
    "cnn-batched": (1, 3, 32, 32),
}
#: The shape of the reply's array.
REPLIES = {"echo": (1, -1), "unet": (1, 3, 96, 96, 96), "cnn": (1, 10), "cnn-batched": (1, 10)}


def array(task: str, size: int, seed: int = 0) -> np.ndarray:
    """Return random 32-bit floats for a task.

    :param size: in bytes; read for ``echo`` only.
    """
    generator = np.random.default_rng(seed)
    shape = (1, size // 4) if task == "echo" else SHAPES[task]
    return generator.random(shape, dtype=np.float32)


def size(task: str, echoed: int) -> int:
    """Return the bytes of a request's array."""
    return echoed if task == "echo" else 4 * int(np.prod(SHAPES[task]))


def make(task: str) -> torch.nn.Module:
    """Return the model of a task, ready to predict; it may use all cores."""
    import torch  # noqa: PLC0415 - see above

    from . import networks  # noqa: PLC0415

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    return networks.MODELS[task]().eval()


def predict(model: torch.nn.Module, task: str, body: Any) -> np.ndarray:
    """Return a model's output for the bytes of an array, which are not copied.

    This is for servers that receive bytes.
    """
    import torch  # noqa: PLC0415 - see above

    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # torch warns of memory that cannot be written to
        given = torch.from_numpy(np.frombuffer(body, np.float32).reshape(SHAPES[task]))
        return model(given).numpy()
