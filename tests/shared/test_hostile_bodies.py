"""Bodies that nobody should send: each is refused with the error that says what is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest

from eisen_deploy.client._shared.errors import BodyTooLarge, InvalidInput, MalformedBody
from eisen_deploy.client._shared.model.metadata import Metadata
from eisen_deploy.client._shared.wire import protocol, strict_json

from .hostile_body import MIB, RANK_65, binary, listed, pack, refusal, refuse, tensor, whole

# --- 1-6: the header ----------------------------------------------------------------------


def test_row_01_no_length_header_with_a_binary_body(peak_of):
    body, _ = binary(tensor())
    assert protocol.parse_json_size(None, len(body)) is None
    refuse(peak_of, MalformedBody, body)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("many", id="row-02-not-a-number"),
        pytest.param("", id="row-02-empty"),
        pytest.param("1.0", id="row-02-a-fraction"),
        pytest.param("+9", id="row-02-a-sign"),
        pytest.param("9\n", id="row-02-a-line-break"),
        pytest.param("\u0669", id="row-02-an-arabic-digit"),
        pytest.param("9, 9", id="row-02-twice"),
        pytest.param("-1", id="row-03-negative"),
        pytest.param("0", id="row-04-zero"),
        pytest.param("101", id="row-05-beyond-the-body"),
        pytest.param(str(2**63), id="row-06-two-to-the-63"),
        pytest.param("9" * 100_000, id="row-06-100000-digits"),
    ],
)
def test_length_header(text):
    refusal(MalformedBody, lambda: protocol.parse_json_size(text, 100))


def test_length_header_up_to_the_whole_body():
    assert protocol.parse_json_size("1", 100) == 1
    assert protocol.parse_json_size("0100", 100) == 100


@pytest.mark.parametrize(
    "json_size",
    [
        pytest.param(-1, id="row-03-negative"),
        pytest.param(-4, id="row-03-negative-size-of-the-tensors"),
        pytest.param(0, id="row-04-zero"),
        pytest.param(10**4, id="row-05-beyond-the-body"),
        pytest.param(2**63, id="row-06-two-to-the-63"),
    ],
)
def test_json_size(json_size, peak_of):
    refuse(peak_of, MalformedBody, binary(tensor())[0], json_size)


# --- 7-17: the JSON part ------------------------------------------------------------------

GOOD = b'{"inputs":[]}'


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        pytest.param(b'{"inputs":[],"a":"\xff"}', MalformedBody, id="row-07-not-utf8"),
        pytest.param(GOOD.decode().encode("utf-16"), MalformedBody, id="row-07-utf16"),
        pytest.param(b'{"inputs":[],"a":"\xed\xa0\x80"}', MalformedBody, id="row-07-cesu8"),
        pytest.param(b"\xef\xbb\xbf" + GOOD, MalformedBody, id="row-08-byte-order-mark"),
        pytest.param(b'{"inputs":[],"a":"\\ud800"}', MalformedBody, id="row-09-lone-surrogate"),
        pytest.param(b'{"inputs":[],"\\uDFFF":1}', MalformedBody, id="row-09-lone-surrogate-key"),
        pytest.param(b"[]", MalformedBody, id="row-10-a-list"),
        pytest.param(b"null", MalformedBody, id="row-10-null"),
        pytest.param(b"", MalformedBody, id="row-10-nothing"),
        pytest.param(GOOD + b"\0", MalformedBody, id="row-11-nul-after-the-object"),
        pytest.param(GOOD + GOOD, MalformedBody, id="row-11-two-objects"),
        pytest.param(GOOD + b"\xc2\xa0", MalformedBody, id="row-11-no-break-space"),
        pytest.param(
            b'{"inputs":[],"a":' + b"[" * 32 + b"]" * 32 + b"}", MalformedBody, id="row-12-33-deep"
        ),
        pytest.param(b"[" * 10**5, MalformedBody, id="row-13-100000-deep"),
        pytest.param(b'{"a":' * 10**5, MalformedBody, id="row-13-100000-objects-deep"),
        pytest.param(
            b'{"inputs":[],"a":%s}' % (b"9" * 5000), MalformedBody, id="row-14-5000-digits"
        ),
        pytest.param(b'{"inputs":[],"a":NaN}', MalformedBody, id="row-15-nan"),
        pytest.param(b'{"inputs":[],"a":-Infinity}', MalformedBody, id="row-15-infinity"),
        pytest.param(b'{"inputs":[],"a":1e400}', MalformedBody, id="row-15-1e400"),
        pytest.param(b'{"inputs":[],"inputs":[]}', MalformedBody, id="row-16-duplicate-key"),
        pytest.param(b'{"inputs":[{"a":1,"\\u0061":1}]}', MalformedBody, id="row-16-escaped-key"),
        pytest.param(
            GOOD + b" " * strict_json.MAX_BYTES, BodyTooLarge, id="row-17-over-the-cap-of-json"
        ),
    ],
)
def test_json_part(text, kind, peak_of):
    memory = MIB if kind is BodyTooLarge else MIB + 10 * len(text)
    refuse(peak_of, kind, text, memory=memory)
    refuse(peak_of, kind, text + b"\0\0\0\0", len(text), memory)


def test_json_part_may_end_in_spaces_up_to_its_cap():
    text = GOOD.ljust(strict_json.MAX_BYTES)
    assert protocol.decode_request(text).inputs == {}


# --- 39-46: names and elements ------------------------------------------------------------

DECLARED = Metadata.parse(
    {
        "inputs": [
            {"name": "x", "type": "ndarray[float32]", "shape": [-1], "finite": True},
            {"name": "age", "type": "int"},
        ]
    }
)


def conformed(body, size):
    return DECLARED.conform(protocol.decode_request(body, size).inputs)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(None, id="row-39-missing"),
        pytest.param("", id="row-39-empty"),
        pytest.param(1, id="row-39-number"),
        pytest.param(["x"], id="row-39-list"),
    ],
)
def test_row_39_tensor_without_a_name(name, peak_of):
    body, size = binary(tensor(name=name))
    refuse(peak_of, MalformedBody, body, size)


@pytest.mark.parametrize(
    ("names", "problems"),
    [
        pytest.param(["x"], ["age: is missing"], id="row-39-missing"),
        pytest.param([], ["x: is missing", "age: is missing"], id="row-39-all-missing"),
        pytest.param(
            ["x", "y"], ["age: is missing", "y: is not an input of the model"], id="row-41-unknown"
        ),
    ],
)
def test_names_against_the_metadata(names, problems):
    body, size = binary(*[tensor(name=name) for name in names], raw=b"\0\0\0\0" * len(names))
    found = refusal(InvalidInput, lambda: conformed(body, size)).problems
    assert [text.partition(",")[0] for text in found] == problems


def test_row_40_duplicate_name(peak_of):
    body, size = binary(tensor(), tensor(name="y"), tensor(), raw=b"\0" * 12)
    error = refuse(peak_of, InvalidInput, body, size)
    assert error.problems == ("inputs[2] repeats the name of another one",)


def test_row_40_many_duplicate_names():
    entries = [
        tensor(name="x" * 1800 + str(i // 2), shape=[0], data=[], parameters={})
        for i in range(4000)
    ]
    body, _ = pack({"inputs": entries})
    assert len(refusal(InvalidInput, lambda: protocol.decode_request(body)).problems) == 8


def test_row_40_duplicate_name_among_the_outputs(peak_of):
    body, _ = pack({"inputs": [], "outputs": [{"name": "y"}, {"name": "y"}]})
    refuse(peak_of, InvalidInput, body)


def test_row_41_a_thousand_unknown_names_make_a_short_message():
    batch = {"y" * 10_000 + str(i): 0 for i in range(1000)}
    error = refusal(InvalidInput, lambda: DECLARED.conform(batch))
    assert len(str(error)) < 2000


@pytest.mark.parametrize(
    ("shape", "raw"),
    [
        pytest.param([1], b"\5\0\0\0abcd", id="row-42-length-one-past-the-end"),
        pytest.param([1], b"\xff\xff\xff\xffabcd", id="row-42-length-far-past-the-end"),
        pytest.param([2], b"\1\0\0\0a\1\0\0", id="row-42-length-cut-off"),
        pytest.param([2], b"\3\0\0\0a\0\0\0", id="row-42-length-inside-the-one-before"),
        pytest.param([2], b"\4\0\0\0abcd", id="row-43-less-than-the-shape"),
        pytest.param([1], b"\1\0\0\0a\1\0\0\0b", id="row-43-more-than-the-shape"),
        pytest.param([0], b"\0\0\0\0", id="row-43-one-in-an-empty-shape"),
        pytest.param([], b"", id="row-43-none-in-a-scalar"),
    ],
)
def test_bytes_elements(shape, raw, peak_of):
    entry = tensor(datatype="BYTES", shape=shape, parameters={"binary_data_size": len(raw)})
    body, size = binary(entry, raw=raw)
    refuse(peak_of, MalformedBody, body, size)


@pytest.mark.parametrize("byte", [2, 3, 127, 128, 254, 255])
@pytest.mark.parametrize("place", [0, 3])
def test_row_44_bool_other_than_0_and_1(byte, place, peak_of):
    raw = bytearray(b"\0\1\0\1")
    raw[place] = byte
    body, size = binary(tensor(datatype="BOOL", shape=[4]), raw=bytes(raw))
    refuse(peak_of, MalformedBody, body, size)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_row_45_not_finite_where_the_metadata_forbids_it(value):
    batch = {"x": np.array([0, value], np.float32), "age": 1}
    body, size = whole(protocol.encode_request(batch))
    error = refusal(InvalidInput, lambda: conformed(body, size))
    assert error.problems == ("x: must be finite, got NaN or infinity",)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize(
    ("dtype", "bits"),
    [
        pytest.param("<u2", range(1, 0x400), id="row-46-float16-subnormals"),
        pytest.param("<u2", [0x8000, 0x8001, 0x83FF], id="row-46-float16-negative-zero"),
        pytest.param("<u4", [0x80000000, 1, 0x807FFFFF], id="row-46-float32"),
        pytest.param("<u8", [2**63, 1, 2**52 - 1], id="row-46-float64"),
    ],
)
def test_row_46_accepted_bit_for_bit(dtype, bits, binary):
    source = np.array(bits, dtype).view(dtype.replace("u", "f"))
    body, size = whole(protocol.encode_request({"x": source}, binary=binary))
    assert protocol.decode_request(body, size).inputs["x"].tobytes() == source.tobytes()


# --- 60-66: tensors in JSON ---------------------------------------------------------------

JSON_TENSORS = [
    pytest.param([[1, 2], [3]], [2, 2], id="row-60-ragged"),
    pytest.param([[1, 2], 3], [2, 2], id="row-60-ragged-in-depth"),
    pytest.param([[[1]], [2]], [2], id="row-60-ragged-in-depth-and-last"),
    pytest.param([1, True], [2], id="row-61-bool-among-integers"),
    pytest.param([1, "a"], [2], id="row-61-string-among-integers"),
    pytest.param([2**53 + 1], [1], id="row-62-integer-above-2-to-the-53"),
    pytest.param([-(2**53) - 1], [1], id="row-62-integer-below-minus-2-to-the-53"),
    pytest.param([10**299], [1], id="row-62-integer-of-300-digits"),
    pytest.param([1e39], [1], id="row-62-number-out-of-float32"),
    pytest.param(["1"], [1], id="row-63-string"),
    pytest.param([None], [1], id="row-64-null-in-a-list"),
    pytest.param(None, [1], id="row-64-null"),
    pytest.param({}, [1], id="row-65-object"),
    pytest.param([{}], [1], id="row-65-object-in-a-list"),
    pytest.param({"0": 1}, [1], id="row-65-object-of-numbers"),
]


@pytest.mark.parametrize(("data", "shape"), JSON_TENSORS)
def test_json_tensor_of_the_protocol(data, shape, peak_of):
    body, _ = listed(data, shape=shape)
    refuse(peak_of, MalformedBody, body)


@pytest.mark.parametrize(("data", "shape"), JSON_TENSORS)
def test_json_tensor_typed_by_hand(data, shape):
    batch = strict_json.loads_object(json.dumps({"x": data, "age": 1}).encode(), "the body")
    error = refusal(InvalidInput, lambda: DECLARED.conform(batch))
    assert error.problems[0].startswith("x: ")


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        pytest.param("BOOL", [1], id="row-61-integer-as-bool"),
        pytest.param("INT64", [True], id="row-61-bool-as-integer"),
        pytest.param("INT64", [1.0], id="row-61-float-as-integer"),
        pytest.param("UINT8", [-1], id="row-62-below-the-range"),
        pytest.param("UINT8", [256], id="row-62-above-the-range"),
        pytest.param("INT64", [2**63], id="row-62-above-int64"),
        pytest.param("UINT64", [2**64], id="row-62-above-uint64"),
        pytest.param("FP16", [65520.0], id="row-62-above-float16"),
        pytest.param("FP64", [2**53 + 1], id="row-62-not-exact-in-a-double"),
        pytest.param("FP32", [2**24 + 1], id="row-62-not-exact-in-a-float32"),
        pytest.param("FP16", [2**11 + 1], id="row-62-not-exact-in-a-float16"),
        pytest.param("BYTES", [1], id="row-63-number-as-bytes"),
        pytest.param("BYTES", [None], id="row-64-null-as-bytes"),
        pytest.param("FP32", [1.0, 2.0], id="row-60-more-than-the-shape"),
        pytest.param("FP32", [], id="row-60-less-than-the-shape"),
        pytest.param("FP32", [[[1.0]]], id="row-60-nested-deeper-than-the-shape"),
    ],
)
def test_json_elements_of_the_protocol(datatype, data, peak_of):
    body, _ = listed(data, datatype)
    refuse(peak_of, MalformedBody, body)


@pytest.mark.slow  # a second or two
def test_row_66_empty_lists_by_the_megabyte(peak_of):
    text = b'{"x":[' + b",".join([b"[]"] * 350_000) + b'],"age":1}'
    memory = 40 * len(text)

    def by_hand():
        return DECLARED.conform(strict_json.loads_object(text, "the body"))

    error, peak = peak_of(lambda: refusal(InvalidInput, by_hand))
    assert error.problems == ("x: expected shape [-1], got [350000, 0]",)
    assert peak < memory
    body, _ = listed([])
    refuse(peak_of, MalformedBody, body.replace(b"[]", text[5:-9]), memory=memory)


def test_row_66_empty_lists_that_are_what_the_shape_says():
    body, _ = listed([[], []], shape=[2, 0])
    assert protocol.decode_request(body).inputs["x"].shape == (2, 0)


# --- messages -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "raw", "message"),
    [
        ({"shape": RANK_65}, b"", "inputs[0]: shape has 65 axes, at most 64 are read"),
        ({"shape": [2**63]}, b"", "inputs[0]: shape has more elements than memory has addresses"),
        ({"shape": [2**59]}, b"", "inputs[0]: shape has more elements than memory has addresses"),
        (
            {"shape": [0, 2**63]},
            b"",
            "inputs[0]: shape has more elements than memory has addresses",
        ),
        ({"shape": [1, -1]}, b"", "inputs[0]: shape[1] must be 0 or more, got -1"),
        (
            {"shape": [2]},
            b"1234",
            "tensor 0: FP32 of shape [2] takes 8 bytes, binary_data_size is 4",
        ),
        (
            {"datatype": "BYTES", "shape": [2]},
            b"1234",
            "tensor 0: 2 BYTES elements do not fit into 4 bytes",
        ),
        (
            {"datatype": "BYTES"},
            b"\2\0\0\0a",
            "tensor 0: BYTES element 0 reaches past the end",
        ),
        (
            {"datatype": "BYTES"},
            b"\1\0\0\0aaa",
            "tensor 0: 2 bytes follow the last BYTES element",
        ),
        ({"data": [1, 2]}, None, "tensor 0: shape [1] takes 1 elements, data has 2"),
        ({"data": [[1]]}, None, "tensor 0: data is nested as [1, 1], not as [1]"),
        ({"data": 1}, None, "tensor 0: expected a list, got an integer"),
    ],
)
def test_messages_name_the_place_and_what_was_expected(changes, raw, message):
    parameters = {} if raw is None else {"binary_data_size": len(raw)}
    body, size = binary(tensor(**changes, parameters=parameters), raw=raw or b"")
    error = refusal(MalformedBody, lambda: protocol.decode_request(body, size))
    assert error.problems == (message,)


# --- the rest of the JSON part ------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        pytest.param({}, id="no-inputs"),
        pytest.param({"inputs": {}}, id="inputs-an-object"),
        pytest.param({"inputs": [[]]}, id="an-input-that-is-a-list"),
        pytest.param({"inputs": [None]}, id="an-input-that-is-null"),
        pytest.param({"inputs": [tensor(parameters=[], data=[1.0])]}, id="parameters-a-list"),
        pytest.param({"inputs": [], "id": 1}, id="id-a-number"),
        pytest.param({"inputs": [], "parameters": []}, id="request-parameters-a-list"),
        pytest.param({"inputs": [], "parameters": {"binary_data_output": 1}}, id="flag-a-number"),
        pytest.param({"inputs": [], "outputs": {}}, id="outputs-an-object"),
        pytest.param({"inputs": [], "outputs": ["y"]}, id="an-output-that-is-a-string"),
        pytest.param({"inputs": [], "outputs": [{}]}, id="an-output-without-a-name"),
        pytest.param(
            {"inputs": [], "outputs": [{"name": "y", "parameters": {"binary_data": "no"}}]},
            id="an-output-with-a-flag-that-is-a-string",
        ),
    ],
)
def test_malformed_request(head, peak_of):
    refuse(peak_of, MalformedBody, pack(head)[0])


@pytest.mark.parametrize("key", ["model_name", "model_version", "id"])
def test_malformed_reply(key):
    body, _ = pack({"outputs": [], key: 1})
    refusal(MalformedBody, lambda: protocol.decode_reply(body))


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "parameters"),
    [
        pytest.param("FP32", [3], [0, 0, 0], {"numpy_dtype": "complex64"}, id="odd-last-axis"),
        pytest.param("FP32", [], [0], {"numpy_dtype": "complex64"}, id="complex-without-an-axis"),
        pytest.param("FP32", [2], [0, 0], {"numpy_dtype": "complex128"}, id="complex-of-a-half"),
        pytest.param("INT64", [2], [0, 0], {"numpy_dtype": "complex128"}, id="complex-integer"),
        pytest.param("FP32", [2], [0, 0], {"numpy_dtype": "O"}, id="numpy-dtype-object"),
        pytest.param("FP32", [2], [0, 0], {"numpy_dtype": ["complex64"]}, id="numpy-dtype-a-list"),
        pytest.param("BYTES", [1], ["a"], {"numpy_dtype": "S"}, id="numpy-dtype-of-bytes"),
        pytest.param("BYTES", [1], ["{"], {"content_type": "json"}, id="json-that-is-none"),
        pytest.param("BYTES", [1], ["NaN"], {"content_type": "json"}, id="json-with-nan"),
        pytest.param("BYTES", [2], ["1", "2"], {"content_type": "json"}, id="json-in-two-pieces"),
        pytest.param("BYTES", [0], [], {"content_type": "str"}, id="a-string-of-no-element"),
        pytest.param("BYTES", [1], ["1e400"], {"content_type": "float"}, id="float-of-any-text"),
    ],
)
def test_parameters_that_do_not_fit(datatype, shape, data, parameters, peak_of):
    entry = tensor(datatype=datatype, shape=shape, data=data, parameters=parameters)
    refuse(peak_of, MalformedBody, pack({"inputs": [entry]})[0])


@pytest.mark.parametrize(
    "parameters", [{"content_type": "str"}, {"numpy_dtype": "str"}, {"content_type": "json"}]
)
def test_text_that_is_not_utf8(parameters, peak_of):
    entry = tensor(datatype="BYTES", parameters={"binary_data_size": 5, **parameters})
    body, size = binary(entry, raw=b"\1\0\0\0\xff")
    refuse(peak_of, MalformedBody, body, size)


def test_rank_that_this_numpy_cannot_hold():
    rank = 64
    for datatype, data in [("FP32", [0]), ("BYTES", ["a"])]:
        body, _ = listed(data, datatype, [1] * rank)
        try:
            array = protocol.decode_request(body).inputs["x"]
        except MalformedBody:
            assert np.lib.NumpyVersion(np.__version__) < "2.0.0"
        else:
            assert array.shape == (1,) * rank
