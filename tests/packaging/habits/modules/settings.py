"""A module of the user's own, beside the script."""

FACTOR = 2.0
RUNS = 0


def count():
    global RUNS
    RUNS += 1


def make_steps():
    """Return two functions that use this module's globals."""

    def pre(d):
        count()
        return {**d, "x": d["x"] * FACTOR}

    def post(d):
        return {**d, "y": d["y"] + RUNS}

    return pre, post
