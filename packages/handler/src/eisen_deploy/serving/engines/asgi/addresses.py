"""The addresses of a model, as TorchServe and the Open Inference Protocol have them.

====================================================  ==========================================
address                                               what it is
====================================================  ==========================================
``/predictions/M[/V]``                                a prediction; an empty body: the metadata
``/v2/models/M[/versions/V]/infer``                   a prediction
``/v2/models/M[/versions/V]``                         the protocol's metadata of the model
``/v2/models/M[/versions/V]/ready``                   whether the model answers
``/v2``, ``/v2/health/live``, ``/v2/health/ready``    the server
``/ping``, ``/metrics``, ``/openapi.json``            the server
====================================================  ==========================================
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import NamedTuple

_NAME = r"(?P<model>[^/]+)"
_VERSION = r"(?P<version>[^/]+)"


class Kind(Enum):
    """What an address is for."""

    PREDICTION = auto()
    MODEL = auto()
    MODEL_READY = auto()
    SERVER = auto()
    LIVE = auto()
    READY = auto()
    PING = auto()
    METRICS = auto()
    OPENAPI = auto()


class Address(NamedTuple):
    """What a path means; ``model`` is ``None`` where it is about the server."""

    kind: Kind
    model: str | None = None
    version: str | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that are answered."""
        return ("POST", "PUT", "GET") if self.kind is Kind.PREDICTION else ("GET", "HEAD")


_OF_SERVER = {
    "/v2": Kind.SERVER,
    "/v2/health/live": Kind.LIVE,
    "/v2/health/ready": Kind.READY,
    "/ping": Kind.PING,
    "/metrics": Kind.METRICS,
    "/openapi.json": Kind.OPENAPI,
}
_OF_MODEL = (
    (re.compile(f"/predictions/{_NAME}(?:/{_VERSION})?"), Kind.PREDICTION),
    (re.compile(f"/v2/models/{_NAME}(?:/versions/{_VERSION})?/infer"), Kind.PREDICTION),
    (re.compile(f"/v2/models/{_NAME}(?:/versions/{_VERSION})?/ready"), Kind.MODEL_READY),
    (re.compile(f"/v2/models/{_NAME}(?:/versions/{_VERSION})?"), Kind.MODEL),
)


def parse_path(path: str) -> Address | None:
    """Return what a path means, or ``None``."""
    path = path.rstrip("/") or "/"
    if path in _OF_SERVER:
        return Address(_OF_SERVER[path])
    for pattern, kind in _OF_MODEL:
        if (match := pattern.fullmatch(path)) is not None:
            return Address(kind, match["model"], match["version"])
    return None
