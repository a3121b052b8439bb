"""What answers requests inside an archive; there this package is called ``_eisen_serving``.

The way of a request, one module a step::

    torchserve   row of a TorchServe batch -> Request
    decode       Request -> inputs by name, checked against the metadata
    pipeline     pre_process -> inference (batching, model) -> post_process, errors kept apart
    encode       outputs by name -> Reply
    compression  Reply -> the same as gzip, where the client takes that and it pays
    torchserve   Reply -> answer, status and headers

Between TorchServe and these steps, ``receiving`` and ``sending`` take bodies and give replies
without the copies that TorchServe's worker makes; ``frames`` puts them in its place.

``handler`` is the entry point that TorchServe imports; ``loading`` brings transforms and model in,
after ``_shared.contents`` has checked every digest. Only ``handler``, ``torchserve``, ``frames``,
``worker_log`` and ``EisenServingHandler.initialize`` know which server runs.

This module and ``handler`` import nothing but the standard library, so that a package that is
missing on the server is reported by its own name.
"""

from __future__ import annotations

from typing import Any

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


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(name)
    from . import errors, handler, messages  # noqa: PLC0415 - see the module's text

    homes = (errors, handler, messages)
    return next(getattr(home, name) for home in homes if hasattr(home, name))
