"""Serve an archive that ``eisen_deploy.packaging`` made.

The handler travels inside every archive, so a server needs nothing of this distribution. It is
here to be subclassed::

    from eisen_deploy.serving import EisenServingHandler

    class MyHandler(EisenServingHandler):
        def post_process(self, output_dict):
            ...

and passed to ``EisenServingMAR(..., handler="my_handler.py")``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .runtime.errors import (
    BodyTooLarge,
    InvalidInput,
    InvalidOutput,
    LoadFailed,
    MalformedBody,
    ModelFailed,
    NotExecuted,
    NotSupported,
    OutOfMemory,
    ReplyTooLarge,
    ServingError,
    TimedOut,
    TransformFailed,
    UnsupportedMediaType,
)
from .runtime.handler import EisenServingHandler
from .runtime.messages import EncodedBody

if TYPE_CHECKING:
    from .runtime.inferer import WithInferer
    from .runtime.nnunet import NNUNet

__all__ = [
    "BodyTooLarge",
    "EisenServingHandler",
    "EncodedBody",
    "InvalidInput",
    "InvalidOutput",
    "LoadFailed",
    "MalformedBody",
    "ModelFailed",
    "NNUNet",
    "NotExecuted",
    "NotSupported",
    "OutOfMemory",
    "ReplyTooLarge",
    "ServingError",
    "TimedOut",
    "TransformFailed",
    "UnsupportedMediaType",
    "WithInferer",
]

# What brings torch is imported when it is used.
_WITH_TORCH = ("NNUNet", "WithInferer")

# Pickles and messages know these by their public name, which an archive's handler provides too.
for _name in set(__all__).difference(_WITH_TORCH):
    globals()[_name].__module__ = __name__


def __getattr__(name: str) -> object:
    if name not in _WITH_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import runtime  # noqa: PLC0415 - see above

    return getattr(runtime, name)
