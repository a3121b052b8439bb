"""The systems, in the order in which the page shows them."""

from __future__ import annotations

from . import bentoml, litserve, mlserver, raw_socket, ray_serve, torchserve, uvicorn
from .system import Endpoint, Place, System

__all__ = ["BASE", "SYSTEMS", "Endpoint", "Place", "System"]

#: The system with which all others are compared.
BASE = "eisen-serve"

_ALL = (
    *torchserve.SYSTEMS,
    *uvicorn.SYSTEMS,
    *litserve.SYSTEMS,
    *bentoml.SYSTEMS,
    *ray_serve.SYSTEMS,
    *mlserver.SYSTEMS,
    *raw_socket.SYSTEMS,
)
SYSTEMS = {system.name: system for system in _ALL}
