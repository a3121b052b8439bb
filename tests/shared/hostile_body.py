"""Bodies made for tests, and the refusal that each must meet."""

from __future__ import annotations

import json
import time

import pytest

from eisen_deploy.client._shared.errors import BodyTooLarge, InvalidInput, MalformedBody
from eisen_deploy.client._shared.wire import protocol

MIB = 2**20
STATUS = {MalformedBody: 400, BodyTooLarge: 413, InvalidInput: 422}
RANK_65 = [1] * 65


def pack(head, raw=b""):
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return text + raw, len(text)


def tensor(**changes):
    """Return an entry of one FP32 tensor of 4 bytes; a change to None leaves a key out."""
    entry = {
        "name": "x",
        "shape": [1],
        "datatype": "FP32",
        "parameters": {"binary_data_size": 4},
        **changes,
    }
    return {key: value for key, value in entry.items() if value is not None}


def binary(*entries, raw=b"\0\0\0\0"):
    return pack({"inputs": list(entries)}, raw)


def listed(data, datatype="FP32", shape=(1,)):
    return pack(
        {"inputs": [tensor(datatype=datatype, shape=list(shape), data=data, parameters={})]}
    )


def refusal(kind, call):
    """Return the error that a call raises, which must be of exactly this kind, and soon."""
    started = time.monotonic()
    with pytest.raises(kind) as caught:
        call()
    assert caught.type is kind
    assert caught.value.status == STATUS[kind]
    assert caught.value.type == kind.__name__
    assert time.monotonic() - started < 5
    return caught.value


def refuse(peak_of, kind, body, json_size=None, memory=MIB):
    error, peak = peak_of(lambda: refusal(kind, lambda: protocol.decode_request(body, json_size)))
    assert peak < memory
    assert len(str(error)) < 1000
    return error


def whole(encoded):
    return b"".join(encoded.buffers), encoded.json_size
