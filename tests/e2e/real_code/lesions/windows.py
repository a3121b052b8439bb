from __future__ import annotations

WINDOWS = {"T1": (0, 20000), "EPI": (0, 1000)}


def window(name):
    return WINDOWS[name]
