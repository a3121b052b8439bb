"""The stages of a request, in their one order.

Their names stand in ``Server-Timing`` and in error messages. Each takes what the last one left in
the :class:`~.jobs.Job`, and raises what goes wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._shared.wire.protocol import JSON_TYPE
from ..messages import Reply
from .bodies.decode import decode as decode_request
from .bodies.encode import encode as encode_outputs
from .bodies.encode import pick_declared_outputs
from .jobs import Job

if TYPE_CHECKING:
    from ..handler import EisenServingHandler

Stage = Callable[["EisenServingHandler", Job], None]


def decode(handler: EisenServingHandler, job: Job) -> None:
    """Read the request; one with no body asks for the metadata, which is the reply."""
    job.call = decode_request(job.request, handler.metadata, job.max_body)
    if job.call.inputs is None:
        text = handler.get_metadata()[0]
        job.reply = Reply((text.encode("utf-8"),), headers={"Content-Type": JSON_TYPE})
    else:
        job.data = job.call.inputs


def pre_process(handler: EisenServingHandler, job: Job) -> None:
    """Apply the pre-processing transform."""
    job.data = handler.pre_process(job.data)


def inference(handler: EisenServingHandler, job: Job) -> None:
    """Run the model, unless the job had its share of a common pass."""
    if not job.inferred:
        job.data = handler.inference(job.data)


def post_process(handler: EisenServingHandler, job: Job) -> None:
    """Apply the post-processing transform."""
    job.data = handler.post_process(job.data)


def encode(handler: EisenServingHandler, job: Job) -> None:
    """Make the reply of the declared outputs."""
    outputs = pick_declared_outputs(handler.metadata, job.data)
    job.reply = encode_outputs(outputs, job.call, handler.archive)


def handle(handler: EisenServingHandler, job: Job) -> None:
    """Take whatever an overridden ``handle`` returns: bytes, JSON text, or a dict of outputs."""
    result: Any = handler.handle(job.data)[0]
    if isinstance(result, dict):
        job.data = result
        encode(handler, job)
    elif isinstance(result, str):
        job.reply = Reply((result.encode("utf-8"),), headers={"Content-Type": JSON_TYPE})
    else:
        body = result if isinstance(result, bytes) else bytes(result)
        job.reply = Reply((body,), headers=getattr(result, "headers", {}))


#: What ``handle`` does with inputs that are decoded.
AFTER_DECODE: tuple[Stage, ...] = (pre_process, inference, post_process, encode)
#: The stages of a request, in their order.
STAGES: tuple[Stage, ...] = (decode, *AFTER_DECODE)
#: The stages where a handler has a ``handle`` of its own.
STAGES_AROUND_HANDLE: tuple[Stage, ...] = (decode, handle)
