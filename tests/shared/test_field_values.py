"""Values held against one field of the metadata: arrays, plain values, and what does not fit."""

from __future__ import annotations

import numpy as np
import pytest

from eisen_deploy.client._shared.errors import InvalidInput
from eisen_deploy.client._shared.model.metadata import Field


def field(type_, **more):
    return Field.parse({"name": "x", "type": type_, **more})


def problems(item, value):
    with pytest.raises(InvalidInput) as caught:
        item.conform(value)
    assert caught.value.status == 422
    return list(caught.value.problems)


class Lazy:
    """What a tensor of another library looks like."""

    def __init__(self, value):
        self.value = value

    def __array__(self, dtype=None, copy=None):
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


# --- arrays -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        pytest.param("float32", np.array([1.5, -0.0, np.nan, np.inf]), id="float64-to-float32"),
        pytest.param("float16", np.array([0.1]), id="float64-to-float16"),
        pytest.param("float64", np.array([0.1], np.float16), id="float16-to-float64"),
        pytest.param("complex64", np.array([1 + 1j]), id="complex128-to-complex64"),
        pytest.param("complex128", np.array([1.0]), id="float64-to-complex128"),
        pytest.param("int32", np.array([-(2**31), 2**31 - 1]), id="int64-to-int32"),
        pytest.param("uint8", np.array([0, 255]), id="int64-to-uint8"),
        pytest.param("int64", np.array([2**63 - 1], np.uint64), id="uint64-to-int64"),
        pytest.param("uint64", np.array([0, 2**63 - 1]), id="int64-to-uint64"),
        pytest.param("float32", np.array([2**24, -(2**24)]), id="int64-to-float32"),
        pytest.param("float64", np.array([2**53, -(2**53)]), id="int64-to-float64"),
        pytest.param("float16", np.array([2048]), id="int64-to-float16"),
        pytest.param("complex64", np.array([2**24]), id="int64-to-complex64"),
        pytest.param("float32", np.array([65535], np.uint16), id="uint16-to-float32"),
        pytest.param("int8", np.array([True]), id="bool-to-int8"),
        pytest.param("float32", np.array([True]), id="bool-to-float32"),
        pytest.param("int8", np.zeros(0, np.int64), id="empty-int64-to-int8"),
        pytest.param("int32", np.array([1], ">i4"), id="big-endian-int32"),
        pytest.param("float32", np.array([1], ">f4"), id="big-endian-float32"),
        pytest.param("float32", np.float64(1), id="numpy-scalar"),
        pytest.param("float32", Lazy(np.array([1.5])), id="array-of-another-library"),
    ],
)
def test_arrays_that_fit_are_converted(wanted, value):
    got = field(f"ndarray[{wanted}]").conform(value)
    source = value.value if isinstance(value, Lazy) else np.asarray(value)
    assert got.dtype == np.dtype(wanted)
    assert got.dtype.isnative
    assert got.shape == source.shape
    with np.errstate(all="ignore"):
        expected = source.astype(wanted)
    np.testing.assert_array_equal(got, expected)
    if source.dtype.kind in "iu" and np.dtype(wanted).kind != "c":
        assert [int(item) for item in got] == source.tolist()


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        pytest.param("int32", np.array([2**31]), id="above-int32"),
        pytest.param("int32", np.array([-(2**31) - 1]), id="below-int32"),
        pytest.param("uint8", np.array([-1]), id="below-uint8"),
        pytest.param("uint8", np.array([256], np.uint16), id="above-uint8"),
        pytest.param("int64", np.array([2**63], np.uint64), id="above-int64"),
        pytest.param("uint64", np.array([-1]), id="below-uint64"),
        pytest.param("float16", np.array([2049]), id="not-exact-in-float16"),
        pytest.param("float32", np.array([2**24 + 1]), id="not-exact-in-float32"),
        pytest.param("float64", np.array([2**53 + 1]), id="not-exact-in-float64"),
        pytest.param("float64", np.array([2**64 - 1], np.uint64), id="uint64-not-exact"),
        pytest.param("complex128", np.array([-(2**53) - 1]), id="not-exact-in-complex128"),
        pytest.param("int64", np.array([1.0]), id="float-as-integer"),
        pytest.param("bool", np.array([1]), id="integer-as-bool"),
        pytest.param("float64", np.array([1j]), id="complex-as-float"),
        pytest.param("float32", np.array(["1"]), id="str-as-float"),
        pytest.param("uint8", np.array([b"1"]), id="bytes-as-integer"),
        pytest.param("bool", np.array(["1"]), id="str-as-bool"),
        pytest.param("float32", np.array([1, None], object), id="objects-as-float"),
        pytest.param("int64", np.zeros(1, "M8[s]"), id="dates-as-integer"),
        pytest.param("int64", np.zeros(1, "m8[s]"), id="durations-as-integer"),
        pytest.param("float64", np.zeros(1, "f8,f8"), id="structures-as-float"),
    ],
)
def test_arrays_that_do_not_fit(wanted, value):
    item = field(f"ndarray[{wanted}]")
    assert problems(item, value) == [f"x: expected ndarray[{wanted}], got {value.dtype}"]


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        ("float32", np.array([0, 1e39])),
        ("float32", np.array([-1e39])),
        ("float16", np.array([65520.0], np.float32)),
        ("complex64", np.array([1e39j])),
    ],
)
def test_numbers_out_of_the_range_are_not_made_infinite(wanted, value):
    item = field(f"ndarray[{wanted}]")
    assert problems(item, value) == [f"x: holds a number out of the range of {wanted}"]


def test_signalling_nan_is_converted_in_silence():
    value = np.array([0x7FF4000000000000], np.uint64).view(np.float64)
    assert np.isnan(field("ndarray[float32]").conform(value)).all()


def test_an_array_of_the_type_is_not_copied():
    value = np.zeros((2, 3), np.float32)
    assert field("ndarray[float32]", shape=[-1, 3]).conform(value) is value
    assert field("ndarray").conform(value) is value


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ([[1, 2]], "int64"),
        ([[1, 2.5]], "float64"),
        ([True], "bool"),
        ([2**63], "uint64"),
        ([], "float64"),
        ([[], []], "float64"),
        (["a"], "object"),
        (1, "int64"),
        (0.5, "float64"),
        (True, "bool"),
    ],
)
def test_lists_and_numbers_are_arrays(value, dtype):
    got = field("ndarray").conform(value)
    assert got.dtype == np.dtype(dtype)
    assert got.tolist() == value


def cyclic():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("a", "x: expected ndarray, got str"),
        (None, "x: expected ndarray, got NoneType"),
        ({}, "x: expected ndarray, got dict"),
        (b"a", "x: expected ndarray, got bytes"),
        ([[1], [2, 3]], "x: ragged lists at depth 1"),
        ([1, None], "x: FP64 data holds null"),
        ([-1, 2**63], "x: holds an integer that UINT64 does not hold exactly"),
        ([0.5, 2**53 + 1], "x: holds an integer that FP64 does not hold exactly"),
        (cyclic(), "x: lists are nested more than 64 deep"),
        (
            Lazy(RuntimeError("of patient 7")),
            "x: expected ndarray, got Lazy that could not be read as an array (RuntimeError)",
        ),
    ],
)
def test_values_that_are_not_arrays(value, problem):
    assert problems(field("ndarray"), value) == [problem]


@pytest.mark.parametrize(
    ("declared", "shape", "fits"),
    [
        ([-1, 3], (0, 3), True),
        ([-1, 3], (5, 3), True),
        ([-1, -1], (5, 3), True),
        ([5, 3], (5, 3), True),
        ([], (), True),
        ([0], (0,), True),
        ([-1, 3], (5, 4), False),
        ([-1, 3], (5,), False),
        ([-1, 3], (5, 3, 1), False),
        ([-1], (), False),
        ([], (1,), False),
        ([0], (1,), False),
    ],
)
def test_shapes(declared, shape, fits):
    item, value = field("ndarray", shape=declared), np.zeros(shape)
    if fits:
        assert item.conform(value) is value
    else:
        assert problems(item, value) == [f"x: expected shape {declared}, got {list(shape)}"]


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "c8", "c16"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_finite(dtype, bad):
    value = np.array([0, bad], dtype)
    assert field("ndarray").conform(value) is value
    item = field("ndarray", finite=True)
    assert problems(item, value) == ["x: must be finite, got NaN or infinity"]
    item.conform(np.array([0, 1], dtype))


@pytest.mark.parametrize("value", [np.array([1]), np.array([True]), np.array(["a"])])
def test_finite_says_nothing_of_other_types(value):
    assert field("ndarray", finite=True).conform(value) is value


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_finite_float(bad):
    assert repr(field("float").conform(bad)) == repr(bad)
    item = field("float", finite=True)
    assert problems(item, bad) == ["x: must be finite, got NaN or infinity"]
    assert item.conform(1.5) == 1.5


def test_type_shape_and_finite_are_reported_at_once():
    item = field("ndarray[int64]", shape=[-1, 3], finite=True)
    assert problems(item, np.array([np.nan])) == [
        "x: expected ndarray[int64], got float64",
        "x: expected shape [-1, 3], got [1]",
        "x: must be finite, got NaN or infinity",
    ]


# --- other types --------------------------------------------------------------------------


def texts(*items):
    return np.array(items, dtype=object)


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        ("str", "a", "a"),
        ("str", ["a", "b"], ["a", "b"]),
        ("str", texts(b"\xc3\xa9"), "\u00e9"),
        ("str", texts("a"), "a"),
        ("str", np.array(b"a"), "a"),
        ("str", np.str_("a"), "a"),
        ("list", [1, "a"], [1, "a"]),
        ("list", (1, 2), (1, 2)),
        ("list", np.array([[1, 2]]), [[1, 2]]),
        ("list", texts(b"a", b"b"), ["a", "b"]),
        ("list", np.zeros(0), []),
        ("list", np.zeros((2, 0)), [[], []]),
        ("json", {"a": [1]}, {"a": [1]}),
        ("json", None, None),
        ("json", "a", "a"),
        ("json", True, True),
        ("json", texts(b'{"a": [1, null]}'), {"a": [1, None]}),
        ("json", texts("[1]"), [1]),
        ("json", np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        ("json", np.array([5]), 5),
        ("int", 1, 1),
        ("int", np.int8(1), 1),
        ("int", np.array([[7]], np.uint64), 7),
        ("int", np.array(7), 7),
        ("float", 0.5, 0.5),
        ("float", 1, 1.0),
        ("float", np.float32(0.5), 0.5),
        ("float", np.array([2]), 2.0),
        ("bool", True, True),
        ("bool", np.bool_(False), False),
        ("bool", np.array([True]), True),
    ],
)
def test_plain_values(type_, value, expected):
    assert repr(field(type_).conform(value)) == repr(expected)


def test_strings_of_a_batch_stay_an_array():
    got = field("str").conform(np.array([[b"a", b"\xc3\xa9"]], dtype=object))
    assert got.tolist() == [["a", "\u00e9"]]
    assert got.dtype == object


def test_lists_inside_an_array_stay_whole():
    value = np.empty(2, dtype=object)
    value[0], value[1] = [1, 2], [3, 4]
    assert field("list").conform(value) == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("type_", "value", "got"),
    [
        ("str", 1, "int"),
        ("str", None, "NoneType"),
        ("str", True, "bool"),
        ("str", b"a", "bytes"),
        ("str", ["a", 1], "list"),
        ("str", np.array([1, 2]), "list"),
        ("str", np.array([1]), "int"),
        ("list", "ab", "str"),
        ("list", {}, "dict"),
        ("list", np.array(1), "int"),
        ("int", True, "bool"),
        ("int", 1.0, "float"),
        ("int", "1", "str"),
        ("int", np.array([1, 2]), "list"),
        ("int", np.zeros(0, int), "list"),
        ("int", np.array([True]), "bool"),
        ("float", True, "bool"),
        ("float", "1", "str"),
        ("float", 1j, "complex"),
        ("bool", 1, "int"),
        ("bool", None, "NoneType"),
        ("bool", np.array([1]), "int"),
    ],
)
def test_plain_values_of_another_type(type_, value, got):
    assert problems(field(type_), value) == [f"x: expected {type_}, got {got}"]


@pytest.mark.parametrize("type_", ["str", "list", "json"])
def test_bytes_that_are_not_utf8(type_):
    assert problems(field(type_), texts(b"\xff")) == [
        f"x: expected {type_}, got bytes that are not UTF-8"
    ]


def test_a_json_tensor_that_does_not_hold_json():
    (text,) = problems(field("json"), texts(b"{patient"))
    assert text.startswith("x is not JSON: ")
    assert "patient" not in text


def test_an_integer_that_no_double_holds():
    assert problems(field("float"), 10**400) == ["x: holds a number out of the range of a double"]


@pytest.mark.parametrize("value", [2**53 + 1, np.array([2**63 - 1]), np.uint64([2**64 - 1])])
def test_an_integer_that_a_double_would_round(value):
    assert problems(field("float"), value) == [
        "x: holds an integer that a double does not hold exactly"
    ]
    assert field("float").conform(2**60) == 2.0**60
