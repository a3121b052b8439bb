"""Tensors that nobody should send: shapes, datatypes and sizes, each refused with its error."""

from __future__ import annotations

import json

import numpy as np
import pytest

from eisen_deploy.client._shared.errors import MalformedBody
from eisen_deploy.client._shared.wire import protocol

from .hostile_body import MIB, RANK_65, binary, listed, pack, refusal, refuse, tensor, whole

# --- 18-33: shapes and datatypes ----------------------------------------------------------


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param([-2, 2], id="row-18-negative-dimension"),
        pytest.param([-1], id="row-19-minus-one"),
        pytest.param([1.0], id="row-20-float"),
        pytest.param([True], id="row-21-bool"),
        pytest.param(["1"], id="row-22-string"),
        pytest.param([None], id="row-22-null"),
        pytest.param([[1]], id="row-22-list"),
        pytest.param(1, id="row-22-no-list"),
        pytest.param("1", id="row-22-string-in-place-of-the-list"),
        pytest.param(None, id="row-22-no-shape"),
        pytest.param([2**63], id="row-23-two-to-the-63"),
        pytest.param([10**299], id="row-23-300-digits"),
        pytest.param([2**32, 2**32], id="row-24-overflowing-product"),
        pytest.param([2**62, 4, 1], id="row-24-product-is-0-in-int64"),
        pytest.param(RANK_65, id="row-25-rank-65"),
        pytest.param([1] * 10**5, id="row-25-rank-100000"),
        pytest.param([0, 2**63], id="row-27-zero-beside-huge"),
        pytest.param([2**40, 0, 2**40], id="row-27-zero-between-huge"),
    ],
)
@pytest.mark.parametrize("datatype", ["FP32", "BYTES"])
def test_shape(shape, datatype, peak_of):
    memory = MIB + 200 * len(shape if isinstance(shape, list) else [])
    body, size = binary(tensor(shape=shape, datatype=datatype))
    refuse(peak_of, MalformedBody, body, size, memory)
    body, size = binary(
        tensor(shape=shape, datatype=datatype, parameters={"binary_data_size": 0}), raw=b""
    )
    refuse(peak_of, MalformedBody, body, size, memory)
    body, _ = listed([0.0] if datatype == "FP32" else ["a"], datatype, ())
    head = json.loads(body)
    head["inputs"][0]["shape"] = shape
    refuse(peak_of, MalformedBody, json.dumps(head).encode(), memory=memory)


@pytest.mark.slow  # a second or two
def test_row_26_a_million_tensors(peak_of):
    # The parser's own dicts: 64 bytes for 3 of text, and 232 on Python 3.9.
    text = b'{"inputs":[%s]}' % b",".join([b"{}"] * 10**6)
    refuse(peak_of, MalformedBody, text, memory=100 * len(text))


def test_row_26_ten_thousand_outputs(peak_of):
    body, _ = pack({"inputs": [], "outputs": [{"name": str(i)} for i in range(10**4)]})
    refuse(peak_of, MalformedBody, body, memory=40 * len(body))


def test_row_26_as_many_tensors_as_are_read():
    entries = [tensor(name=str(i), shape=[0], data=[], parameters={}) for i in range(4096)]
    assert len(protocol.decode_request(pack({"inputs": entries})[0]).inputs) == 4096
    entries.append(tensor(name="last", shape=[0], data=[], parameters={}))
    refusal(MalformedBody, lambda: protocol.decode_request(pack({"inputs": entries})[0]))


@pytest.mark.parametrize(
    "datatype",
    [
        pytest.param("FP128", id="row-28-unknown"),
        pytest.param("float32", id="row-28-name-of-numpy"),
        pytest.param("FP32 ", id="row-28-with-a-space"),
        pytest.param("O", id="row-29-object"),
        pytest.param("V8", id="row-30-void"),
        pytest.param("i4,O", id="row-31-structure"),
        pytest.param("", id="row-32-empty"),
        pytest.param("fp32", id="row-32-lower-case"),
        pytest.param(None, id="row-32-none"),
        pytest.param(4, id="row-32-number"),
        pytest.param(["FP32"], id="row-32-list"),
        pytest.param({"FP32": "FP32"}, id="row-32-object-in-json"),
    ],
)
def test_datatype(datatype, peak_of):
    body, size = binary(tensor(datatype=datatype))
    error = refuse(peak_of, MalformedBody, body, size)
    assert str(error).startswith("inputs[0]: datatype must be one of BOOL, ")


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        pytest.param(3, [1], id="row-33-one-byte-less"),
        pytest.param(5, [1], id="row-33-one-byte-more"),
        pytest.param(0, [1], id="row-33-nothing"),
        pytest.param(4, [0], id="row-33-bytes-of-an-empty-tensor"),
        pytest.param(-4, [1], id="row-33-negative"),
        pytest.param(4.0, [1], id="row-33-float"),
        pytest.param(True, [1], id="row-33-bool"),
        pytest.param("4", [1], id="row-33-string"),
        pytest.param([4], [1], id="row-33-list"),
    ],
)
def test_row_33_size_is_not_that_of_the_shape(size, shape, peak_of):
    raw = b"\0" * (size if type(size) is int and size > 0 else 4)
    body, json_size = binary(tensor(shape=shape, parameters={"binary_data_size": size}), raw=raw)
    refuse(peak_of, MalformedBody, body, json_size)


# --- 34-38: sizes of the body -------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"\0" * 9, id="row-34-more-than-the-sizes"),
        pytest.param(b"\0" * 7, id="row-34-less-than-the-sizes"),
        pytest.param(b"", id="row-34-nothing"),
    ],
)
def test_row_34_sizes_do_not_add_up(raw, peak_of):
    body, size = binary(tensor(), tensor(name="y"), raw=raw)
    error = refuse(peak_of, MalformedBody, body, size)
    assert str(error) == f"the JSON part announces 8 bytes of tensors, {len(raw)} follow it"


def test_row_34_sizes_that_add_up_by_cancelling(peak_of):
    body, size = binary(
        tensor(parameters={"binary_data_size": 12}), tensor(name="y", data=[0.0], parameters={})
    )
    refuse(peak_of, MalformedBody, body, size)
    body, size = binary(
        tensor(parameters={"binary_data_size": 8}),
        tensor(name="y", shape=[0], parameters={"binary_data_size": -4}),
    )
    refuse(peak_of, MalformedBody, body, size)


MIXED = {
    "image": np.arange(6, dtype=np.float32).reshape(1, 2, 3),
    "mask": np.array([True, False]),
    "names": np.array(["a", "", "\u00e9\0"], dtype=object),
    "raw": np.array([b"\xff\0", b""], dtype=object),
    "spectrum": np.array([1 + 2j], dtype=np.complex64),
    "empty": np.empty((0, 3), dtype=np.float64),
    "options": {"threshold": 0.5, "names": ["a", None]},
    "note": "\u00e9",
    "nan": float("nan"),
}


@pytest.mark.parametrize(
    ("decode", "body", "json_size"),
    [
        pytest.param(
            protocol.decode_request,
            *whole(protocol.encode_request(MIXED, id="1", outputs=["y"])),
            id="row-35-request",
        ),
        pytest.param(
            protocol.decode_reply,
            *whole(protocol.encode_reply(MIXED, model_name="m", model_version="1")),
            id="row-35-reply",
        ),
        pytest.param(
            protocol.decode_reply,
            *whole(protocol.encode_reply(MIXED, model_name="m", model_version="1", binary=["raw"])),
            id="row-35-reply-half-in-json",
        ),
        pytest.param(
            protocol.decode_request,
            *whole(
                protocol.encode_request(
                    {key: MIXED[key] for key in MIXED if key != "raw"}, binary=False
                )
            ),
            id="row-35-request-in-json",
        ),
    ],
)
def test_row_35_truncated_at_every_byte(decode, body, json_size):
    assert decode(body, json_size)
    for end in range(len(body)):
        refusal(MalformedBody, lambda end=end: decode(body[:end], json_size))
    if json_size is not None:
        for end in range(len(body[:json_size].rstrip())):
            cut = body[:end] + body[json_size:]
            with pytest.raises(MalformedBody):
                decode(cut, end)


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(
            tensor(shape=[2**28], parameters={"binary_data_size": 2**30}), id="row-36-1-gb"
        ),
        pytest.param(tensor(shape=[2**28]), id="row-36-1-gb-of-4-bytes"),
        pytest.param(
            tensor(datatype="BYTES", shape=[2**28], parameters={"binary_data_size": 10}),
            id="row-36-2-to-the-28-strings",
        ),
        pytest.param(tensor(shape=[2**28], data=[0.0], parameters={}), id="row-36-1-gb-of-json"),
        pytest.param(
            tensor(datatype="BYTES", shape=[2**28], data=[""], parameters={}),
            id="row-36-2-to-the-28-strings-of-json",
        ),
        pytest.param(
            tensor(datatype="BYTES", shape=[1], parameters={"binary_data_size": 10}),
            id="row-36-a-string-of-4-gb",
        ),
    ],
)
def test_row_36_one_gigabyte_claimed(entry, peak_of):
    raw = b"\xff" * 10
    body, size = binary(entry, raw=raw)
    refuse(peak_of, MalformedBody, body, size)


@pytest.mark.parametrize(
    ("changes", "raw"),
    [
        pytest.param({"data": [1.0]}, b"\0" * 4, id="row-37-data-and-size"),
        pytest.param({"parameters": {}}, b"", id="row-38-neither"),
        pytest.param({"parameters": None}, b"", id="row-38-neither-nor-parameters"),
        pytest.param({"parameters": {"binary_data_size": None}}, b"", id="row-38-size-is-null"),
    ],
)
def test_data_and_size(changes, raw, peak_of):
    body, size = binary(tensor(**changes), raw=raw)
    refuse(peak_of, MalformedBody, body, size)
