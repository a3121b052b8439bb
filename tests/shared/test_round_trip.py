"""What is encoded is decoded as it was: arrays bit for bit, other values with type and value."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from eisen_deploy.client._shared.errors import UnsupportedValue
from eisen_deploy.client._shared.wire import protocol, strict_json, values

FEW = settings(max_examples=40)

REAL = ["?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"]
COMPLEX = ["c8", "c16"]
SHAPES = arrays.array_shapes(min_dims=0, max_dims=7, min_side=0, max_side=3)


def _locked(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def _unaligned(array):
    raw = np.zeros(array.nbytes + 1, np.uint8)
    raw[1:] = np.frombuffer(array.tobytes(), np.uint8)
    return raw[1:].view(array.dtype).reshape(array.shape)


LAYOUTS = {
    "row-49-fortran": lambda a: a.copy(order="F"),
    "row-50-negative-stride": lambda a: np.flip(np.flip(a).copy()),
    "row-51-read-only": _locked,
    "row-51-big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "sliced": lambda a: np.stack([a, a], axis=-1)[..., 0],
    "transposed": lambda a: a.T.copy().T,
    "broadcast": lambda a: np.broadcast_to(a, a.shape),
    "unaligned": _unaligned,
}


def sent(inputs, binary=True):
    """Return what a decoder makes of an encoded request."""
    body = protocol.encode_request(inputs, binary=binary)
    return protocol.decode_request(bytearray(b"".join(body.buffers)), body.json_size).inputs


def assert_same(got, source):
    assert got.dtype == source.dtype
    assert got.dtype.isnative
    assert got.shape == source.shape
    assert got.tobytes() == source.tobytes()
    assert got.flags.c_contiguous
    assert got.flags.writeable
    assert got.flags.aligned


@st.composite
def any_bits(draw, dtypes):
    """Draw arrays of any bits that the type has: subnormals, every NaN, -0.0."""
    dtype, shape = np.dtype(draw(st.sampled_from(dtypes))), draw(SHAPES)
    size = int(np.prod(shape, dtype=int)) * dtype.itemsize
    raw = np.frombuffer(draw(st.binary(min_size=size, max_size=size)), np.uint8)
    if dtype.kind == "b":
        raw = raw & 1
    return raw.copy().view(dtype).reshape(shape)


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("layout", LAYOUTS)
@FEW
@given(source=any_bits(REAL + COMPLEX))
def test_binary_bit_for_bit(layout, source):
    given_ = LAYOUTS[layout](source)
    before = given_.tobytes()
    assert_same(sent({"x": given_})["x"], source)
    assert given_.tobytes() == before


@FEW
@given(source=any_bits(REAL + COMPLEX), layout=st.sampled_from(sorted(LAYOUTS)))
def test_json_exactly(source, layout):
    if source.dtype.kind in "fc":
        parts = source.reshape(-1).view(
            f"f{source.dtype.itemsize // (1 + (source.dtype.kind == 'c'))}"
        )
        parts[~np.isfinite(parts)] = -0.0
    assert_same(sent({"x": LAYOUTS[layout](source)}, binary=False)["x"], source)


@FEW
@given(sources=st.lists(any_bits(REAL + COMPLEX), max_size=5))
def test_many_arrays_in_one_body(sources):
    named = {f"x{index}": source for index, source in enumerate(sources)}
    got = sent(named)
    assert got.keys() == named.keys()
    for name, source in named.items():
        assert_same(got[name], source)


ANY_BYTES = arrays.arrays(np.uint8, SHAPES).map(lambda raw: raw.view(bool))


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
@FEW
@given(source=ANY_BYTES)
def test_bools_of_any_bytes_are_sent_as_0_and_1(layout, binary, source):
    given_ = LAYOUTS[layout](source)
    before = given_.tobytes()
    assert_same(sent({"x": given_}, binary)["x"], source.view(np.uint8) != 0)
    assert given_.tobytes() == before


@pytest.mark.parametrize("byte", [0, 1, 2, 128, 255])
def test_single_bools_of_any_byte(byte):
    array = np.array([byte, 0], np.uint8).view(bool)
    got = sent({"zero": array[:1].reshape(()), "one": array[0], "listed": [array, {"a": array[0]}]})
    assert got["zero"].tobytes() == got["one"].tobytes() == bytes([byte > 0])
    assert got["listed"] == [[byte > 0, False], {"a": byte > 0}]


def test_sound_bools_are_not_copied():
    source = np.arange(24).reshape(2, 3, 4) % 3 == 0
    assert np.shares_memory(values.normalise_bools(source), source)
    assert np.shares_memory(values.to_tensor("x", source).content, source)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("dtype", REAL + COMPLEX)
@pytest.mark.parametrize(
    "shape",
    [
        pytest.param((), id="row-47-rank-0"),
        pytest.param((0,), id="row-48-empty"),
        pytest.param((2, 0, 3), id="row-48-empty-between"),
        pytest.param((0, 2**20), id="row-48-empty-beside-large"),
        pytest.param((1,) * 32, id="rank-32"),
    ],
)
def test_every_datatype(dtype, shape, binary):
    if dtype in COMPLEX and len(shape) == 32 and np.lib.NumpyVersion(np.__version__) < "2.0.0":
        pytest.skip("numpy 1 holds 32 axes, and complex numbers travel on one more")
    source = np.ones(shape, dtype)
    assert_same(sent({"x": source}, binary)["x"], source)


def test_extremes_of_integers_in_json():
    for dtype in REAL[1:9]:
        ends = np.array([np.iinfo(dtype).min, np.iinfo(dtype).max], dtype)
        assert_same(sent({"x": ends}, binary=False)["x"], ends)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_payload_of_a_nan(dtype):
    bits = {"f4": ("u4", 0x7FA12345), "f8": ("u8", 0xFFF4123456789ABC)}[dtype]
    source = np.array([bits[1]], bits[0]).view(dtype)
    assert_same(sent({"x": source})["x"], source)
    assert_same(sent({"x": source.astype(source.dtype.newbyteorder(">"))})["x"], source)


@pytest.mark.parametrize("dtype", REAL + COMPLEX)
def test_numpy_scalars_are_arrays_of_rank_0(dtype):
    assert_same(sent({"x": np.dtype(dtype).type(1)})["x"], np.array(1, dtype))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(), (0, 2), (2, 3)])
def test_content_of_a_tensor_has_its_shape(layout, shape):
    tensor = values.to_tensor("x", LAYOUTS[layout](np.ones(shape, np.float32)))
    assert tensor.shape == tensor.content.shape == shape
    assert tensor.content.flags.c_contiguous
    assert tensor.content.dtype == np.dtype("<f4")


# --- strings and bytes --------------------------------------------------------------------

TEXTS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=8)


@pytest.mark.parametrize("binary", [True, False])
@FEW
@given(source=SHAPES.flatmap(lambda shape: arrays.arrays(object, shape, elements=TEXTS)))
def test_arrays_of_str(binary, source):
    if not source.size:
        source = source.astype("U1")  # nothing else shows that it is one of str
    got = sent({"x": source}, binary)["x"]
    assert got.dtype == object
    assert got.shape == source.shape
    assert got.tolist() == source.tolist()


@FEW
@given(source=SHAPES.flatmap(lambda s: arrays.arrays(object, s, elements=st.binary(max_size=8))))
def test_arrays_of_bytes(source):
    got = sent({"x": source})["x"]
    assert got.dtype == object
    assert got.shape == source.shape
    assert got.tolist() == source.tolist()


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize(
    ("source", "items"),
    [
        (np.array(["a", "\u00e9\U0001f600"]), ["a", "\u00e9\U0001f600"]),
        (np.array([[b"a"], [b"bc"]]), [[b"a"], [b"bc"]]),
        (np.array("a"), "a"),
        (np.array(b"a"), b"a"),
        (np.array([], "U3"), []),
        (np.array(["a\0", "\0", ""], object), ["a\0", "\0", ""]),
        (np.array([b"a\0", b"\0", b""], object), [b"a\0", b"\0", b""]),
    ],
)
def test_strings(source, items, binary):
    got = sent({"x": source}, binary)["x"]
    assert got.shape == source.shape
    assert got.tolist() == items


# --- other values -------------------------------------------------------------------------

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**290), 10**290)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
)
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=4) | st.dictionaries(TEXTS, v, max_size=4)
)


@pytest.mark.parametrize("binary", [True, False])
@FEW
@given(value=VALUES)
def test_values_of_json(binary, value):
    assert repr(sent({"x": value}, binary)["x"]) == repr(value)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), -0.0, 1e308])
def test_floats(value, binary):
    got = sent({"x": value}, binary)["x"]
    assert type(got) is float
    assert repr(got) == repr(value)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ((1, (2,)), [1, [2]]),
        ([np.float32(0.5), np.int64(2), np.bool_(True)], [0.5, 2, True]),
        ({"a": np.arange(4).reshape(2, 2)}, {"a": [[0, 1], [2, 3]]}),
        ([np.array(["a"]), np.array(["b"], object)], [["a"], ["b"]]),
    ],
)
def test_arrays_and_tuples_inside_are_lists(value, plain):
    assert repr(sent({"x": value})["x"]) == repr(plain)


def test_nesting_that_is_sent_can_be_read():
    value = 1
    for _ in range(strict_json.MAX_DEPTH):
        value = [value]
    assert sent({"x": value})["x"] == value
    with pytest.raises(UnsupportedValue, match=r"^x: nested more than 32 deep$"):
        protocol.encode_request({"x": [value]})


class Stubborn:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("call detach() first")


def cyclic():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"raw", id="bytes"),
        pytest.param({1: 2}, id="keys-that-are-no-str"),
        pytest.param({1, 2}, id="set"),
        pytest.param(1j, id="complex"),
        pytest.param(object(), id="object"),
        pytest.param([object()], id="object-in-a-list"),
        pytest.param(cyclic(), id="cyclic-list"),
        pytest.param([float("nan")], id="nan-in-a-list"),
        pytest.param({"a": float("inf")}, id="infinity-in-a-dict"),
        pytest.param("\ud800", id="lone-surrogate"),
        pytest.param(["\udfff"], id="lone-surrogate-in-a-list"),
        pytest.param({"\ud800": 1}, id="lone-surrogate-in-a-key"),
        pytest.param(np.array(["\ud800"], object), id="lone-surrogate-in-an-array"),
        pytest.param(np.array([None]), id="array-of-none"),
        pytest.param(np.array(["a", b"a"], object), id="array-of-str-and-bytes"),
        pytest.param(np.array([1, "a"], object), id="array-of-mixed-objects"),
        pytest.param(np.zeros(1, "M8[ns]"), id="dates"),
        pytest.param(np.zeros(1, "m8[ns]"), id="durations"),
        pytest.param(np.zeros(1, "i4,f4"), id="structures"),
        pytest.param(np.zeros(1, "V8"), id="void"),
        pytest.param(np.zeros(1, np.longdouble), id="long-doubles"),
        pytest.param(np.zeros(1, np.clongdouble), id="long-complex"),
        pytest.param([np.longdouble(1)], id="long-double-in-a-list"),
        pytest.param([np.zeros(1, np.longdouble)], id="long-doubles-in-a-list"),
        pytest.param([np.timedelta64(1, "ns")], id="duration-in-a-list"),
        pytest.param([np.datetime64(1, "ns")], id="date-in-a-list"),
        pytest.param([np.complex64(1)], id="complex-in-a-list"),
        pytest.param([np.bytes_(b"a")], id="bytes-in-a-list"),
        pytest.param([10**5000], id="integer-of-5000-digits"),
        pytest.param(Stubborn(), id="array-that-cannot-be-read"),
    ],
)
@pytest.mark.parametrize("binary", [True, False])
def test_values_that_have_no_form(value, binary):
    with pytest.raises(UnsupportedValue, match=r"^scan: ") as caught:
        protocol.encode_request({"scan": value}, binary=binary)
    assert caught.value.status == 500


@pytest.mark.parametrize(
    "value", [np.array([np.nan]), np.array([0, -np.inf], "f2"), np.array([b"\xff"])]
)
def test_values_that_json_does_not_carry(value):
    assert sent({"x": value})["x"].tolist() is not None
    with pytest.raises(UnsupportedValue, match="JSON cannot carry: ask for binary"):
        protocol.encode_request({"x": value}, binary=False)


@pytest.mark.parametrize(
    "name", ["", "\ud800", 1, None, b"x", ("x",)], ids=["empty", "lone", "1", "none", "bytes", "t"]
)
@pytest.mark.parametrize("value", [np.zeros(1), "a", 1])
def test_names_that_have_no_form(name, value):
    with pytest.raises(UnsupportedValue, match=r"^a name"):
        protocol.encode_request({name: value})


def test_texts_of_the_head_that_have_no_form():
    with pytest.raises(UnsupportedValue):
        protocol.encode_request({}, id="\ud800")
    with pytest.raises(UnsupportedValue):
        protocol.encode_request({}, outputs=["\ud800"])
    with pytest.raises(UnsupportedValue):
        protocol.encode_reply({}, model_name="\ud800", model_version="1")


# --- what goes with the values ------------------------------------------------------------

NAMES = TEXTS.filter(bool)


@FEW
@given(
    id_=st.none() | TEXTS,
    outputs=st.none() | st.lists(NAMES, unique=True, max_size=3),
    binary=st.booleans(),
    names=st.lists(NAMES, unique=True, max_size=3),
)
def test_request(id_, outputs, binary, names):
    body = protocol.encode_request(
        {name: index for index, name in enumerate(names)}, id=id_, outputs=outputs, binary=binary
    )
    got = protocol.decode_request(b"".join(body.buffers), body.json_size)
    assert got.id == id_
    assert got.inputs == {name: index for index, name in enumerate(names)}
    assert got.outputs == (tuple(outputs) if outputs else None)
    if outputs:
        assert got.binary == (frozenset(outputs) if binary else frozenset())
    else:
        assert got.binary == (None if binary else frozenset())


@FEW
@given(
    texts=st.tuples(TEXTS, TEXTS, st.none() | TEXTS),
    sources=st.dictionaries(NAMES, any_bits(["f4", "u1"]), max_size=4),
    in_binary=st.none() | st.sets(st.integers(0, 3)),
)
def test_reply(texts, sources, in_binary):
    chosen = None if in_binary is None else [n for i, n in enumerate(sources) if i in in_binary]
    for name, source in sources.items():
        if chosen is not None and name not in chosen and source.dtype.kind == "f":
            source[~np.isfinite(source)] = 0
    model, version, id_ = texts
    body = protocol.encode_reply(
        sources, model_name=model, model_version=version, id=id_, binary=chosen
    )
    got = protocol.decode_reply(bytearray(b"".join(body.buffers)), body.json_size)
    assert (got.model_name, got.model_version, got.id, got.parameters) == (model, version, id_, {})
    assert got.outputs.keys() == sources.keys()
    for name, source in sources.items():
        assert_same(got.outputs[name], source)


@pytest.mark.parametrize(
    ("parameters", "outputs", "names", "binary"),
    [
        ({}, None, None, frozenset()),
        ({"binary_data_output": True}, None, None, None),
        ({"binary_data_output": True}, [], None, None),
        ({"binary_data_output": False}, [], None, frozenset()),
        ({}, [{"name": "y"}], ("y",), frozenset()),
        ({"binary_data_output": True}, [{"name": "y"}], ("y",), {"y"}),
        (
            {"binary_data_output": True},
            [{"name": "y", "parameters": {"binary_data": False}}, {"name": "z"}],
            ("y", "z"),
            {"z"},
        ),
        (
            {},
            [{"name": "y", "parameters": {"binary_data": True}}, {"name": "z"}],
            ("y", "z"),
            {"y"},
        ),
    ],
)
def test_outputs_that_are_asked_for(parameters, outputs, names, binary):
    head = {"inputs": [], "parameters": parameters, "outputs": outputs}
    got = protocol.decode_request(json.dumps(head).encode())
    assert got.outputs == names
    assert got.binary == binary


def test_headers_and_size_describe_the_body():
    body = protocol.encode_request({"x": np.zeros(3)})
    assert body.headers == {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(body.buffers[0])),
    }
    assert body.size == len(b"".join(body.buffers)) == len(body.buffers[0]) + 24
    body = protocol.encode_request({"x": np.zeros(3)}, binary=False)
    assert body.headers == {"Content-Type": "application/json"}
    assert body.size == len(body.buffers[0])


def test_a_parsed_head_is_decoded_as_its_text_is():
    head = {"id": "7", "inputs": [{"name": "x", "shape": [1], "datatype": "INT8", "data": [1]}]}
    assert protocol.is_request(head)
    got = protocol.decode_parsed_request(head)
    assert got.id == "7"
    assert_same(got.inputs["x"], np.array([1], np.int8))


@pytest.mark.parametrize(
    "head",
    [{}, {"inputs": 1}, {"inputs": {}}, {"inputs": [1]}, {"inputs": [{"name": "x"}]}],
)
def test_an_object_that_is_not_a_request(head):
    assert not protocol.is_request(head)
