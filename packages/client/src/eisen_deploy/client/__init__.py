"""Query a model that TorchServe serves, with numpy arrays in and out.

>>> from eisen_deploy.client import EisenServingClient
>>> client = EisenServingClient("http://localhost:8080/predictions/seg")  # doctest: +SKIP
>>> mask = client.predict({"image": volume})["mask"]  # doctest: +SKIP

Every error is an :class:`EisenClientError`.
"""

from __future__ import annotations

from ._client import EisenServingClient
from ._errors import (
    ConnectionFailed,
    DeadlineExceeded,
    EisenClientError,
    InvalidInput,
    InvalidURL,
    MalformedReply,
    MalformedRequest,
    ModelFailed,
    ModelNotFound,
    OutOfMemory,
    ProxyFailed,
    Redirected,
    ReplyTooLarge,
    RequestRefused,
    RequestTooLarge,
    ServerBusy,
    ServerFailed,
    TLSFailed,
    Unauthorized,
    UnexpectedReply,
    UnknownOutcome,
    UnsupportedMedia,
    WorkerDied,
)

__all__ = [
    "ConnectionFailed",
    "DeadlineExceeded",
    "EisenClientError",
    "EisenServingClient",
    "InvalidInput",
    "InvalidURL",
    "MalformedReply",
    "MalformedRequest",
    "ModelFailed",
    "ModelNotFound",
    "OutOfMemory",
    "ProxyFailed",
    "Redirected",
    "ReplyTooLarge",
    "RequestRefused",
    "RequestTooLarge",
    "ServerBusy",
    "ServerFailed",
    "TLSFailed",
    "Unauthorized",
    "UnexpectedReply",
    "UnknownOutcome",
    "UnsupportedMedia",
    "WorkerDied",
]
