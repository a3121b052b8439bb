"""Outputs by name as the body of a reply, in the form that the call asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..._shared.errors import BodyTooLarge, ContractError
from ..._shared.model.metadata import Metadata
from ..._shared.wire import protocol, values
from ..._shared.wire.allowance import Allowance
from ...errors import InvalidInput, InvalidOutput, ReplyTooLarge, to_serving_error
from ...messages import Reply
from . import npy
from .decode import Call

if TYPE_CHECKING:
    from ...archive.loading import LoadedArchive


def pick_declared_outputs(metadata: Metadata, outputs: Mapping[str, object]) -> dict[str, object]:
    """Return the outputs that the metadata declares, all of them where it declares none.

    :raises InvalidOutput: if one of them is not there.
    """
    if metadata.outputs is None:
        return dict(outputs)
    names = [item.name for item in metadata.outputs]
    missing = [name for name in names if name not in outputs]
    if missing:
        raise InvalidOutput(f"the model and post_processing gave no {', '.join(missing)}")
    return {name: outputs[name] for name in names}


def pick_wanted_outputs(call: Call, outputs: Mapping[str, object]) -> dict[str, object]:
    """Return the outputs that a call asks for.

    :raises InvalidInput: if the model has no output of such a name.
    """
    if call.outputs is None:
        return dict(outputs)
    strays = [name for name in call.outputs if name not in outputs]
    if strays:
        unknown = f"is not an output of the model, which gives {', '.join(outputs)}"
        raise InvalidInput(f"{name[:40]}: {unknown}" for name in strays[:8])
    return {name: outputs[name] for name in call.outputs}


def encode(outputs: Mapping[str, object], call: Call, archive: LoadedArchive) -> Reply:
    """Encode outputs.

    :raises ServingError: if they do not fit into the form that the call asks for.
    """
    from ...archive.outputs import to_numpy  # noqa: PLC0415 - needs torch

    arrays = {
        name: to_numpy(value, name) for name, value in pick_wanted_outputs(call, outputs).items()
    }
    try:
        if call.form == "protocol":
            return _encode_protocol(arrays, call, archive)
        return _encode_npy(arrays) if call.form == "npy" else _encode_json(arrays)
    except BodyTooLarge as error:
        raise ReplyTooLarge(
            f"as JSON, {error}: set binary_data_output, or send Accept: {protocol.BINARY_TYPE}"
        ) from None
    except ContractError as error:
        raise to_serving_error(error) from None


def _encode_protocol(outputs: Mapping[str, object], call: Call, archive: LoadedArchive) -> Reply:
    body = protocol.encode_reply(
        outputs,
        model_name=archive.name,
        model_version=archive.version,
        id=call.id,
        binary=call.binary,
        allowance=Allowance(),
    )
    return Reply(body.buffers, headers=body.headers)


def _encode_npy(outputs: Mapping[str, object]) -> Reply:
    """One array is a ``.npy`` file; anything else has no such form and is JSON."""
    first = next(iter(outputs.values()), None)
    if len(outputs) != 1 or not isinstance(first, np.ndarray):
        return _encode_json(outputs)
    return Reply(npy.write(first), headers={"Content-Type": npy.MEDIA_TYPE})


def _encode_json(outputs: Mapping[str, object]) -> Reply:
    allowance = Allowance()
    plain = {name: values.to_json_value(name, value, allowance) for name, value in outputs.items()}
    try:
        text = json.dumps(plain, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidOutput("an output holds half of a surrogate pair") from None
    except ValueError:
        raise InvalidOutput(
            "an output holds NaN or infinity, which JSON cannot carry: send "
            f"Accept: {protocol.BINARY_TYPE}"
        ) from None
    return Reply((text,), headers={"Content-Type": protocol.JSON_TYPE})
