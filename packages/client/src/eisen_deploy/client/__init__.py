"""Query a model that TorchServe serves, with numpy arrays in and out.

>>> from eisen_deploy.client import EisenServingClient
>>> client = EisenServingClient("http://localhost:8080/predictions/seg")  # doctest: +SKIP
>>> mask = client.predict({"image": volume})["mask"]  # doctest: +SKIP

Every error is an :class:`EisenClientError`.
"""

from ._call.input_summaries import InputSummary
from ._call.retries import Retries
from ._client import EisenServingClient
from ._errors import (
    Cancelled,
    ConnectionFailed,
    DeadlineExceeded,
    EisenClientError,
    InvalidInput,
    InvalidURL,
    MalformedReply,
    MalformedRequest,
    ModelFailed,
    ModelNotFound,
    NotReady,
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
from ._predictions import ModelIdentity, Prediction
from ._waiting.callbacks import Progress
from ._waiting.deadline import Cancellation

__all__ = [
    "Cancellation",
    "Cancelled",
    "ConnectionFailed",
    "DeadlineExceeded",
    "EisenClientError",
    "EisenServingClient",
    "InputSummary",
    "InvalidInput",
    "InvalidURL",
    "MalformedReply",
    "MalformedRequest",
    "ModelFailed",
    "ModelIdentity",
    "ModelNotFound",
    "NotReady",
    "OutOfMemory",
    "Prediction",
    "Progress",
    "ProxyFailed",
    "Redirected",
    "ReplyTooLarge",
    "RequestRefused",
    "RequestTooLarge",
    "Retries",
    "ServerBusy",
    "ServerFailed",
    "TLSFailed",
    "Unauthorized",
    "UnexpectedReply",
    "UnknownOutcome",
    "UnsupportedMedia",
    "WorkerDied",
]
