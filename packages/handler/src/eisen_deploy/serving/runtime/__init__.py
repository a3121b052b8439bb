"""What answers requests inside an archive; there this package is called ``_eisen_serving``.

``session`` is the seam: it opens the folder of an unpacked archive and answers requests, whatever
server runs. The way of a request, one module a step::

    torchserve/rows       a row of a TorchServe batch -> Request
    answering/pipeline    a batch of Requests, each through the stages of answering/stages:
      bodies/decode         Request -> inputs by name, checked against the metadata
      handler               pre_process -> inference (archive/model) -> post_process
      bodies/encode         outputs by name -> Reply
      bodies/compression    Reply -> the same as gzip, where the client takes that and it pays
    torchserve/rows       Reply -> body, status and headers

``archive`` brings transforms and model into memory once every digest has been checked; ``handler``
is the documented class around them. ``torchserve`` is the adapter that TorchServe imports, at
``torchserve.entry``, and nothing else here knows of it.

This module, ``session`` and ``torchserve.entry`` import nothing but the standard library, so that
a package that is missing on the server is reported by its own name.
"""

from __future__ import annotations

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


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(name)
    if name == "WithInferer":
        from .inferer import WithInferer  # noqa: PLC0415 - needs torch

        return WithInferer
    if name == "NNUNet":
        from .nnunet import NNUNet  # noqa: PLC0415 - needs torch

        return NNUNet
    from . import errors, handler, messages  # noqa: PLC0415 - see the module's text

    homes = (errors, handler, messages)
    return next(getattr(home, name) for home in homes if hasattr(home, name))
