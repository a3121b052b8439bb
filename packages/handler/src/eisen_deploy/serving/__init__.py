"""Serve an archive that ``eisen_deploy.packaging`` made.

The handler travels inside every archive, so a server needs nothing of this distribution. It is
here to be subclassed::

    from eisen_deploy.serving import EisenServingHandler

    class MyHandler(EisenServingHandler):
        def post_process(self, output_dict):
            ...

and passed to ``EisenServingMAR(..., handler="my_handler.py")``.
"""

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

__all__ = [
    "BodyTooLarge",
    "EisenServingHandler",
    "EncodedBody",
    "InvalidInput",
    "InvalidOutput",
    "LoadFailed",
    "MalformedBody",
    "ModelFailed",
    "NotExecuted",
    "NotSupported",
    "OutOfMemory",
    "ReplyTooLarge",
    "ServingError",
    "TimedOut",
    "TransformFailed",
    "UnsupportedMediaType",
]

# Pickles and messages know these by their public name, which an archive's handler provides too.
for _name in __all__:
    globals()[_name].__module__ = __name__
