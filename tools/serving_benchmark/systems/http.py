"""A client for servers that take an array's bytes and answer with an array's bytes: requests.

The connection is kept. ``Accept-Encoding: identity`` asks the server not to compress. Otherwise
some servers do, and that takes several times as long as everything else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import requests

from serving_benchmark.models import REPLIES

from .system import Predict

_SECONDS = 900


def connect(address: dict[str, Any], task: str) -> Predict:
    """Return a call."""
    session = requests.Session()
    session.headers["Accept-Encoding"] = "identity"
    session.headers["Content-Type"] = "application/octet-stream"
    session.headers.update(address.get("headers", {}))
    url, shape = address["url"], REPLIES[task]

    def predict(array: np.ndarray) -> np.ndarray:
        reply = session.post(url, data=array.tobytes(), timeout=_SECONDS)
        reply.raise_for_status()
        return np.frombuffer(reply.content, np.float32).reshape(shape)

    return predict
