"""Bodies as other implementations of the protocol write and read them, byte by byte.

The first two are the examples that the protocol and its binary tensor data extension publish;
the third is what the ``tritonclient`` package sends for these arrays.
"""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from eisen_deploy.client._shared.wire import protocol

EXTENSION_REQUEST = (
    b'{ "model_name" : "mymodel",'
    b' "inputs" : ['
    b' { "name" : "input0", "shape" : [ 2, 2 ], "datatype" : "UINT32",'
    b' "parameters" : { "binary_data_size" : 16 } },'
    b' { "name" : "input1", "shape" : [ 3 ], "datatype" : "BOOL",'
    b' "parameters" : { "binary_data_size" : 3 } } ],'
    b' "outputs" : [ { "name" : "output0", "parameters" : { "binary_data" : true } } ] }'
)
EXTENSION_RAW = b"\1\0\0\0\2\0\0\0\3\0\0\0\xff\xff\xff\xff" + b"\1\0\1"

PROTOCOL_REQUEST = b"""{
  "id" : "42",
  "inputs" : [
    { "name" : "input0", "shape" : [ 2, 2 ], "datatype" : "UINT32", "data" : [ 1, 2, 3, 4 ] },
    { "name" : "input1", "shape" : [ 3 ], "datatype" : "BOOL", "data" : [ true, false, true ] }
  ],
  "outputs" : [ { "name" : "output0" } ]
}"""

PROTOCOL_REPLY = b"""{
  "id" : "42",
  "outputs" : [
    { "name" : "output0", "shape" : [ 3, 2 ], "datatype" : "FP32",
      "data" : [ 1.0, 1.1, 2.0, 2.1, 3.0, 3.1 ] }
  ]
}"""

TRITONCLIENT_REQUEST = (
    b'{"id":"42","inputs":[{"name":"input0","shape":[2,2],"datatype":"UINT32",'
    b'"parameters":{"binary_data_size":16}},{"name":"input1","shape":[3],"datatype":"BYTES",'
    b'"parameters":{"binary_data_size":15}},{"name":"input2","shape":[2],"datatype":"FP32",'
    b'"data":[1.5,-2.0]}],"outputs":[{"name":"output0","parameters":{"binary_data":true}},'
    b'{"name":"output1","parameters":{"binary_data":false}}]}'
)
TRITONCLIENT_RAW = b"\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0" + b"\1\0\0\0a\2\0\0\0\xc3\xa9\0\0\0\0"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_request_of_the_extension(kind):
    size = protocol.parse_json_size(str(len(EXTENSION_REQUEST)), len(EXTENSION_REQUEST) + 19)
    got = protocol.decode_request(kind(EXTENSION_REQUEST + EXTENSION_RAW), size)
    assert list(got.inputs) == ["input0", "input1"]
    assert got.inputs["input0"].dtype == np.uint32
    assert got.inputs["input0"].tolist() == [[1, 2], [3, 2**32 - 1]]
    assert got.inputs["input1"].dtype == np.bool_
    assert got.inputs["input1"].tolist() == [True, False, True]
    assert got.outputs == ("output0",)
    assert got.binary == {"output0"}
    assert got.id is None


def test_request_of_the_protocol():
    got = protocol.decode_request(PROTOCOL_REQUEST)
    assert got.id == "42"
    assert got.inputs["input0"].dtype == np.uint32
    assert got.inputs["input0"].tolist() == [[1, 2], [3, 4]]
    assert got.inputs["input1"].tolist() == [True, False, True]
    assert got.outputs == ("output0",)
    assert got.binary == frozenset()


def test_nested_data_is_the_same_as_flat_data():
    nested = PROTOCOL_REQUEST.replace(b"[ 1, 2, 3, 4 ]", b"[ [ 1, 2 ], [ 3, 4 ] ]")
    got = protocol.decode_request(nested).inputs["input0"]
    assert got.tolist() == [[1, 2], [3, 4]]


def test_reply_of_the_protocol():
    got = protocol.decode_reply(PROTOCOL_REPLY)
    assert got.id == "42"
    assert got.outputs["output0"].dtype == np.float32
    assert got.outputs["output0"].tobytes() == struct.pack("<6f", 1, 1.1, 2, 2.1, 3, 3.1)
    assert got.outputs["output0"].shape == (3, 2)


def test_reply_of_the_extension():
    text = (
        b'{"model_name":"mymodel","model_version":"1","parameters":{"sequence_id":7},'
        b'"outputs":[{"name":"output0","shape":[3,2],"datatype":"FP16",'
        b'"parameters":{"binary_data_size":12}},{"name":"labels","shape":[2],'
        b'"datatype":"BYTES","parameters":{"binary_data_size":11}}]}'
    )
    raw = b"\0\0\0\x3c\0\x40\0\x42\0\x80\1\0" + b"\3\0\0\0cat\0\0\0\0"
    got = protocol.decode_reply(bytearray(text + raw), len(text))
    assert (got.model_name, got.model_version, got.parameters) == (
        "mymodel",
        "1",
        {"sequence_id": 7},
    )
    assert got.outputs["output0"].dtype == np.float16
    assert got.outputs["output0"].tolist() == [[0, 1], [2, 3], [-0.0, 2**-24]]
    assert got.outputs["labels"].tolist() == [b"cat", b""]


def test_request_of_tritonclient():
    got = protocol.decode_request(
        TRITONCLIENT_REQUEST + TRITONCLIENT_RAW, len(TRITONCLIENT_REQUEST)
    )
    assert got.id == "42"
    assert got.inputs["input0"].tolist() == [[1, 2], [3, 4]]
    assert got.inputs["input1"].tolist() == [b"a", b"\xc3\xa9", b""]
    assert got.inputs["input2"].tolist() == [1.5, -2.0]
    assert got.outputs == ("output0", "output1")
    assert got.binary == {"output0"}


def read_as_the_extension_says(body):
    """Read a body with no more than what the extension promises: name to entry and raw bytes."""
    whole = b"".join(body.buffers)
    size = int(body.headers["Inference-Header-Content-Length"])
    head, position, named = json.loads(whole[:size]), size, {}
    for entry in head.get("inputs", head.get("outputs")):
        length = entry["parameters"]["binary_data_size"]
        named[entry["name"]] = (entry, whole[position : position + length])
        position += length
    assert position == len(whole)
    return head, named


def test_request_as_another_server_reads_it():
    body = protocol.encode_request(
        {
            "flags": np.array([True, False, True]),
            "image": np.array([[1, 2], [3, 2**32 - 1]], dtype=">u4", order="F"),
            "labels": np.array([b"cat", b""], dtype=object),
            "scale": np.float64(0.5),
        },
        id="42",
        outputs=["y"],
    )
    head, named = read_as_the_extension_says(body)
    assert head.keys() == {"id", "parameters", "inputs", "outputs"}
    assert head["id"] == "42"
    assert head["parameters"] == {"binary_data_output": True}
    assert head["outputs"] == [{"name": "y"}]
    assert named == {
        "image": (
            {
                "name": "image",
                "shape": [2, 2],
                "datatype": "UINT32",
                "parameters": {"binary_data_size": 16},
            },
            b"\1\0\0\0\2\0\0\0\3\0\0\0\xff\xff\xff\xff",
        ),
        "flags": (
            {
                "name": "flags",
                "shape": [3],
                "datatype": "BOOL",
                "parameters": {"binary_data_size": 3},
            },
            b"\1\0\1",
        ),
        "labels": (
            {
                "name": "labels",
                "shape": [2],
                "datatype": "BYTES",
                "parameters": {"binary_data_size": 11},
            },
            b"\3\0\0\0cat\0\0\0\0",
        ),
        "scale": (
            {
                "name": "scale",
                "shape": [],
                "datatype": "FP64",
                "parameters": {"binary_data_size": 8},
            },
            struct.pack("<d", 0.5),
        ),
    }


@pytest.mark.parametrize(
    ("value", "datatype", "shape", "parameters", "raw"),
    [
        (np.array([1 + 2j], "c8"), "FP32", [1, 2], {"numpy_dtype": "complex64"}, "<2f"),
        (np.array([1 + 2j]), "FP64", [1, 2], {"numpy_dtype": "complex128"}, "<2d"),
        (np.array(["a"]), "BYTES", [1], {"numpy_dtype": "str"}, b"\1\0\0\0a"),
        (np.array([], "U1"), "BYTES", [0], {"numpy_dtype": "str"}, b""),
        ("a", "BYTES", [1], {"content_type": "str"}, b"\1\0\0\0a"),
        ([1, None], "BYTES", [1], {"content_type": "json"}, b"\x09\0\0\0[1, null]"),
        (float("-inf"), "BYTES", [1], {"content_type": "float"}, b"\4\0\0\0-inf"),
    ],
)
def test_values_that_use_parameters(value, datatype, shape, parameters, raw):
    if isinstance(raw, str):
        raw = struct.pack(raw, 1, 2)
    _, named = read_as_the_extension_says(protocol.encode_request({"x": value}))
    entry, sent = named["x"]
    assert (entry["datatype"], entry["shape"]) == (datatype, shape)
    assert entry["parameters"] == {**parameters, "binary_data_size": len(raw)}
    assert sent == raw


def test_reply_in_json_as_another_client_reads_it():
    body = protocol.encode_reply(
        {"y": np.array([[0.1, 2]], np.float32), "label": "cat"},
        model_name="seg",
        model_version="2",
        id="42",
        binary=(),
    )
    assert body.headers == {"Content-Type": "application/json"}
    assert json.loads(b"".join(body.buffers)) == {
        "model_name": "seg",
        "model_version": "2",
        "id": "42",
        "outputs": [
            {
                "name": "y",
                "shape": [1, 2],
                "datatype": "FP32",
                "data": [float(np.float32(0.1)), 2.0],
            },
            {
                "name": "label",
                "shape": [1],
                "datatype": "BYTES",
                "data": ["cat"],
                "parameters": {"content_type": "str"},
            },
        ],
    }
