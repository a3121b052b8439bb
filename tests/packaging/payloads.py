"""Payloads as ``pack`` makes them, for tests of a single step."""

from __future__ import annotations

from eisen_deploy.packaging._arguments import plain_json
from eisen_deploy.packaging._arguments.handler_argument import find_handler
from eisen_deploy.packaging._arguments.model_argument import parse_model
from eisen_deploy.packaging._arguments.payload import Payload
from eisen_deploy.packaging._arguments.sample_argument import parse_sample
from eisen_deploy.packaging._arguments.serving_argument import parse_serving
from eisen_deploy.packaging._capture.requirements import read_requirements
from eisen_deploy.packaging._shared.model.metadata import Metadata


def make_payload(
    model,
    pre=None,
    post=None,
    metadata=None,
    *,
    handler=None,
    serving=None,
    sample=None,
    tolerance=1e-3,
    requirements=(),
):
    metadata = metadata or {}
    declared = Metadata.parse(metadata)
    handler = find_handler(handler)
    parsed = parse_model(model, handler, declared)
    return Payload(
        name="model",
        version="1.0",
        model=parsed,
        transforms={"pre_processing": pre, "post_processing": post},
        metadata_text=plain_json.encode(metadata),
        metadata=declared,
        handler=handler,
        extras=[],
        code=[],
        requirements=read_requirements(requirements),
        serving=parse_serving(serving, parsed.form, handler),
        sample=None if sample is None else parse_sample(sample, handler, declared),
        tolerance=tolerance,
    )
