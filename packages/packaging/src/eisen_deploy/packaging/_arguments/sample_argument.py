"""``sample`` and ``tolerance``: one request, encoded as it is recorded and sent."""

from __future__ import annotations

import math
from collections.abc import Mapping

from eisen_deploy.packaging._errors import InvalidSample
from eisen_deploy.packaging._shared.errors import ContractError
from eisen_deploy.packaging._shared.model.metadata import Metadata
from eisen_deploy.packaging._shared.wire import protocol, values

from .handler_argument import Handler


def parse_sample(sample: object, handler: Handler, metadata: Metadata) -> protocol.Body:
    """Return the request that a sample stands for.

    :param sample: the inputs by name, as a client would send them.
    :raises InvalidSample: with every problem.
    """
    problems: list[str] = []
    if not handler.is_ours:
        problems.append(
            "only Eisen-Deploy's own handler and subclasses of it replay one, and handler is "
            f"{handler.entry}"
        )
    if isinstance(sample, Mapping):
        inputs = {name: _to_numpy(name, value, problems) for name, value in sample.items()}
    else:
        problems.append(f"expected a dict of inputs by name, got {type(sample).__name__}")
    if not problems:
        body = protocol.encode_request(inputs)
        try:
            decoded = protocol.decode_request(b"".join(body.buffers), body.json_size)
            metadata.conform(decoded.inputs)
        except ContractError as error:
            problems += error.problems
    if problems:
        raise InvalidSample(f"sample: {problem}" for problem in problems)
    return body


def parse_tolerance(tolerance: object) -> float:
    """Return by how much outputs may differ from the recorded ones.

    :raises InvalidSample: if it is not a number of 0 or more.
    """
    is_bool = isinstance(tolerance, bool)
    if isinstance(tolerance, (int, float)) and not is_bool and 0 <= tolerance < math.inf:
        return tolerance
    raise InvalidSample(f"tolerance: expected a number of 0 or more, got {tolerance!r:.40}")


def _to_numpy(name: str, value: object, problems: list[str]) -> object:
    """Return an input with arrays for its tensors; add to ``problems`` why it cannot be sent."""
    # At a sample only: they bring the handler.
    from eisen_deploy.serving.runtime.archive.outputs import to_numpy  # noqa: PLC0415
    from eisen_deploy.serving.runtime.errors import InvalidOutput  # noqa: PLC0415

    try:
        converted: object = to_numpy(value)
        values.to_tensor(name, converted)
    except InvalidOutput:
        problems.append(f"{name}: holds a tensor that has no form as an array: pass an array")
    except ContractError as error:
        problems += error.problems
    else:
        return converted
    return None
