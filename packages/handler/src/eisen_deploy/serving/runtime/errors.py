"""Errors that become a reply, each with its HTTP status.

::

    ServingError
    ├── MalformedBody         400
    ├── BodyTooLarge          413
    ├── ReplyTooLarge         413  the reply is larger than the server sends
    ├── UnsupportedMediaType  415
    ├── InvalidInput          422  against the metadata; transforms may raise it themselves
    ├── TransformFailed       500  pre- or post-processing raised
    ├── ModelFailed           500  the model raised
    ├── NotSupported          501  a call for something other than a prediction
    ├── InvalidOutput         500  the outputs are not those declared, or cannot be sent
    ├── TimedOut              504  it would have taken longer than the server waits
    │   └── NotExecuted       503  others of its batch took the time; it can be sent again
    └── OutOfMemory           507

``LoadFailed`` stands apart: it ends the loading of an archive. Its subclass ``NotVerified`` is for
files that are not those that were packed or verified, and ``SelfTestFailed`` for a sample that is
no longer answered as it was when the archive was packed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ._shared.errors import ContractError


class ServingError(Exception):
    """Base of the errors that become a reply.

    :param problems: one sentence for each thing that is wrong, never with a value of the data.
    """

    status = 500

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("; ".join(self.problems))

    def body(self) -> bytes:
        """Return the JSON body of the reply."""
        text = str(self)
        content = {
            "code": self.status,
            "type": type(self).__name__,
            "message": text,
            "error": text,  # where the Open Inference Protocol looks for it
            "problems": list(self.problems),
        }
        return json.dumps(content).encode("ascii")


class MalformedBody(ServingError):
    """The body is not of the format that its headers name."""

    status = 400


class BodyTooLarge(ServingError):
    """A part of the body is over its cap."""

    status = 413


class ReplyTooLarge(ServingError):
    """The reply is larger than the server sends."""

    status = 413


class UnsupportedMediaType(ServingError):
    """The body is of a format that is not read here."""

    status = 415


class InvalidInput(ServingError):
    """The request is well formed, but goes against the metadata of the model."""

    status = 422


class TransformFailed(ServingError):
    """A transform raised, or gave something other than a dict."""


class ModelFailed(ServingError):
    """The model raised, or gave outputs that do not fit their names."""


class InvalidOutput(ServingError):
    """The outputs are not those that the metadata declares, or cannot be sent."""


class NotSupported(ServingError):
    """The request calls for something that the handler does not do, such as an explanation."""

    status = 501


class TimedOut(ServingError):
    """The reply would have come after the server's response timeout."""

    status = 504


class NotExecuted(TimedOut):
    """The time was over before the request was begun: neither transform nor model saw it."""

    status = 503


class OutOfMemory(ServingError):
    """The request does not fit into the memory of the server or of its GPU."""

    status = 507


class LoadFailed(RuntimeError):
    """An archive cannot be served; the message says why."""


class NotVerified(LoadFailed):
    """The unpacked files are not those of the archive that was packed or verified."""


class Difference(NamedTuple):
    """One value that is not as expected: its name, both values described, and by how much."""

    name: str
    expected: str
    got: str
    difference: str


class SelfTestFailed(LoadFailed):
    """The sample of an archive fails on this server, or gets another reply than when it was packed.

    :param differences: each value that is not as it was recorded.
    """

    def __init__(self, message: str, differences: Sequence[Difference] = ()) -> None:
        self.differences = tuple(differences)
        super().__init__(message)


_BY_CONTRACT_TYPE: dict[str, type[ServingError]] = {
    "MalformedBody": MalformedBody,
    "BodyTooLarge": BodyTooLarge,
    "InvalidInput": InvalidInput,
    "UnsupportedValue": InvalidOutput,
}


def to_serving_error(error: ContractError) -> ServingError:
    """Return the public error that stands for one of the shared contract."""
    return _BY_CONTRACT_TYPE[error.type](error.problems)
