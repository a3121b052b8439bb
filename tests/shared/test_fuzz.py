"""Whatever bytes it gets, a decoder gives a value or an error of the contract, and nothing else."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eisen_deploy.client._shared.errors import ContractError, InvalidInput
from eisen_deploy.client._shared.model.metadata import Metadata
from eisen_deploy.client._shared.wire import protocol

pytestmark = pytest.mark.slow  # ten seconds

MANY = settings(max_examples=200)

VALUES = {
    "image": np.arange(6, dtype=np.float32).reshape(1, 2, 3),
    "half": np.array([1, -0.0], np.float16),
    "mask": np.array([True, False]),
    "names": np.array(["a", "\u00e9"], dtype=object),
    "spectrum": np.array([1 + 2j]),
    "options": {"threshold": 0.5, "names": ["a", None, 1e300]},
    "note": "\u00e9\U0001f600",
    "nan": float("nan"),
}
DECLARED = Metadata.parse(
    {
        "inputs": [
            {"name": "image", "type": "ndarray[float16]", "shape": [-1, 2, 3], "finite": True},
            {"name": "half", "type": "float"},
            {"name": "mask", "type": "ndarray[uint8]"},
            {"name": "names", "type": "list"},
            {"name": "spectrum", "type": "ndarray[complex64]"},
            {"name": "options", "type": "json"},
            {"name": "note", "type": "str"},
            {"name": "nan"},
        ]
    }
)
BODIES = [
    protocol.encode_request(VALUES, id="1", outputs=["y"]),
    protocol.encode_request(VALUES, binary=False),
    protocol.encode_reply(VALUES, model_name="m", model_version="1", binary=["image", "names"]),
]
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "set", "insert", "delete", "copy"]),
        st.integers(0, 2**16),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=6,
)
# What changes the meaning of JSON rather than breaking it.
PIECES = b'0123456789-+.eE"\\,:[]{} \t\n\xff\0' + b"ulntrfasd"


def edited(body, edits):
    body = bytearray(body)
    for kind, place, byte in edits:
        at = place % (len(body) + 1)
        if kind == "flip" and at < len(body):
            body[at] ^= 1 << byte % 8
        elif kind == "set" and at < len(body):
            body[at] = PIECES[byte % len(PIECES)]
        elif kind == "insert":
            body.insert(at, PIECES[byte % len(PIECES)])
        elif kind == "delete":
            del body[at : at + 1 + byte % 9]
        elif kind == "copy":
            body[at:at] = body[at : at + byte]
    return body


def check(error):
    assert error.status in (400, 413, 422)
    assert error.problems
    assert all(isinstance(text, str) for text in error.problems)


def consume(decode, body, json_size):
    try:
        got = decode(body, json_size)
    except ContractError as error:
        check(error)
        return
    values = got.inputs if isinstance(got, protocol.Request) else got.outputs
    try:
        DECLARED.conform(values)
    except InvalidInput as error:
        check(error)
    protocol.encode_request(values)


@pytest.mark.parametrize("decode", [protocol.decode_request, protocol.decode_reply])
@pytest.mark.parametrize("number", range(len(BODIES)))
@MANY
@given(edits=EDITS, shift=st.sampled_from([0, 0, 0, -1, 1, 64]))
def test_edited_bodies(decode, number, edits, shift):
    whole = b"".join(BODIES[number].buffers)
    size = BODIES[number].json_size
    consume(decode, edited(whole, edits), None if size is None else size + shift)


def test_one_byte_changed_anywhere():
    for encoded in BODIES:
        whole = b"".join(encoded.buffers)
        for place in range(len(whole)):
            for byte in b'0"[\xff':
                body = bytearray(whole)
                body[place] = byte
                consume(protocol.decode_request, body, encoded.json_size)


ODD = st.sampled_from(
    [
        *(None, True, 0, 1, -1, 2, 4, 8, 2**31, 2**63, 2**64, 10**299, 0.5, -0.0, 1e308, [], {}),
        *("", "x", "\0", "json", "str", "float", "complex64", "nan", "[1]", "FP32", "BYTES"),
    ]
)
ANYTHING = st.recursive(ODD, lambda v: st.lists(v, max_size=3), max_leaves=6)
DATATYPES = ["BOOL", "UINT8", "INT64", "FP16", "FP32", "FP64", "BYTES"]
TENSORS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(list(VALUES)) | ANYTHING,
        "shape": st.lists(st.integers(0, 3), max_size=3) | ANYTHING,
        "datatype": st.sampled_from(DATATYPES) | ANYTHING,
        "data": ANYTHING,
        "parameters": ANYTHING
        | st.dictionaries(
            st.sampled_from(["binary_data_size", "content_type", "numpy_dtype", "binary_data"]),
            ODD | st.integers(0, 16),
        ),
    },
)
HEADS = st.fixed_dictionaries(
    {"inputs": st.lists(TENSORS, max_size=3) | ANYTHING},
    optional={"outputs": st.lists(TENSORS, max_size=3) | ANYTHING, "id": ANYTHING}
    | {"parameters": ANYTHING | st.dictionaries(st.just("binary_data_output"), ANYTHING)},
)


@pytest.mark.parametrize("decode", [protocol.decode_request, protocol.decode_reply])
@MANY
@given(head=HEADS, raw=st.binary(max_size=16))
def test_well_formed_json_of_any_content(decode, head, raw):
    text = json.dumps(head).encode()
    consume(decode, bytearray(text + raw), len(text))


@st.composite
def announced(draw):
    """Draw tensors that fit their announcement in size but not, as a rule, in content."""
    datatype = draw(st.sampled_from(DATATYPES))
    raw = draw(st.binary(max_size=24))
    size = {"BOOL": 1, "UINT8": 1, "FP16": 2, "FP32": 4, "BYTES": 5}.get(datatype, 8)
    raw = raw[: len(raw) // size * size]
    count = len(raw) // size
    shape = draw(st.sampled_from([[count], [count, 1], [1, count]]))
    parameters = draw(
        st.dictionaries(
            st.sampled_from(["content_type", "numpy_dtype"]),
            st.sampled_from(["str", "json", "float", "complex64", "complex128", "int8"]),
        )
    )
    name = draw(st.sampled_from(list(VALUES)))
    entry = {"name": name, "shape": shape, "datatype": datatype}
    return {**entry, "parameters": {**parameters, "binary_data_size": len(raw)}}, raw


@MANY
@given(tensors=st.lists(announced(), max_size=3))
def test_tensors_of_any_content(tensors):
    text = json.dumps({"inputs": [entry for entry, _ in tensors]}).encode()
    body = bytearray(text + b"".join(raw for _, raw in tensors))
    consume(protocol.decode_request, body, len(text))


METADATA = st.recursive(
    ODD | st.sampled_from(["ndarray", "ndarray[int8]", "list", "int", "float", "bool"]),
    lambda v: (
        st.lists(v, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "type", "shape", "finite"]), v)
    ),
    max_leaves=8,
)
KEYS = ["inputs", "outputs", "model_input_list", "model_output_list"]


@MANY
@given(raw=st.dictionaries(st.sampled_from([*KEYS, "custom"]), METADATA))
def test_metadata_of_any_content(raw):
    metadata = Metadata.parse(raw)
    assert isinstance(metadata.batch_problem, (str, type(None)))
    try:
        metadata.conform(VALUES)
    except InvalidInput as error:
        check(error)
