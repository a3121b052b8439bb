"""A module of the user's that remembers, beside the script."""

import numpy as np


class Window:
    low = 0.0


SEEN = {"last": 0.0}
ALSO_SEEN = SEEN
WINDOW = Window()
OFFSETS = np.zeros(2, np.float32)
LATER = None


def total():
    return SEEN["last"] + ALSO_SEEN["last"] + WINDOW.low + OFFSETS.sum() + LATER["count"]
