"""Tensors are not copied without need, and nothing that was decoded shares memory."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from eisen_deploy.client._shared.wire import protocol

MIB = 2**20
DTYPES = ["?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "c8", "c16"]


def large(dtype="<f4"):
    return np.ones((2, 8 * MIB // 2 // np.dtype(dtype).itemsize), dtype)


def memory(buffer):
    return np.frombuffer(buffer, np.uint8)


def whole(inputs, kind=bytearray):
    body = protocol.encode_request(inputs)
    return kind(b"".join(body.buffers)), body.json_size


def mixed():
    """Return a tensor of an odd size for each datatype, the smallest items first."""
    return {
        "note": "odd",
        **{dtype: np.ones((3, 1 + index % 3), dtype) for index, dtype in enumerate(DTYPES)},
        "names": np.array(["a", "bc"], dtype=object),
        "scalar": np.float64(1),
    }


@pytest.mark.parametrize("dtype", ["<f4", "?", "<i8", "<c8"])
def test_encoding_shares_the_memory_of_the_array(dtype, peak_of):
    source = large(dtype)
    body, peak = peak_of(lambda: protocol.encode_request({"x": source}))
    assert peak < MIB
    assert np.shares_memory(memory(body.buffers[1]), source)
    assert len(body.buffers[1]) == source.nbytes


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(np.asfortranarray, id="fortran"),
        pytest.param(lambda a: a[:, ::-1], id="negative-stride"),
        pytest.param(lambda a: np.stack([a, a], -1)[..., 0], id="sliced"),
        pytest.param(lambda a: a.astype(a.dtype.newbyteorder(">")), id="big-endian"),
        pytest.param(lambda a: np.asfortranarray(a, ">f4"), id="fortran-and-big-endian"),
    ],
)
def test_encoding_copies_other_layouts_once(change, peak_of):
    source = change(large())
    body, peak = peak_of(lambda: protocol.encode_request({"x": source}))
    assert source.nbytes <= peak < source.nbytes + MIB
    assert not np.shares_memory(memory(body.buffers[1]), source)


def test_encoding_does_not_need_a_writable_array(peak_of):
    source = large()
    source.flags.writeable = False
    body, peak = peak_of(lambda: protocol.encode_request({"x": source}))
    assert peak < MIB
    assert body.buffers[1].readonly


@pytest.mark.parametrize("dtype", ["<f4", "?", "<i8", "<c8"])
def test_decoding_a_bytearray_copies_nothing(dtype, peak_of):
    body, size = whole({"x": large(dtype)})
    got, peak = peak_of(lambda: protocol.decode_request(body, size).inputs["x"])
    assert peak < MIB
    assert np.shares_memory(got, memory(body))
    got[0, 0] = 0
    assert memory(body)[size : size + got.itemsize].tobytes() == got[0, 0].tobytes()


@pytest.mark.parametrize("kind", [bytes, lambda raw: memoryview(bytes(raw))])
def test_decoding_bytes_copies_once(kind, peak_of):
    body, size = whole({"x": large()}, kind)
    got, peak = peak_of(lambda: protocol.decode_request(body, size).inputs["x"])
    assert got.nbytes <= peak < got.nbytes + MIB
    assert not np.shares_memory(got, memory(body))
    got[0, 0] = 0
    assert bytes(body) == b"".join(protocol.encode_request({"x": large()}).buffers)


def test_rows_52_and_53_every_tensor_is_a_writable_aligned_view():
    body, size = whole(mixed())
    got = protocol.decode_request(body, size).inputs
    for name in [*DTYPES, "scalar"]:
        assert np.shares_memory(got[name], memory(body))
        assert got[name].flags.writeable
        assert got[name].flags.aligned
        assert got[name].flags.c_contiguous


@pytest.mark.parametrize("offset", range(1, 9))
def test_row_53_a_buffer_that_is_not_aligned(offset):
    body, size = whole(mixed())
    shifted = memoryview(bytearray(bytes(offset) + body))[offset:]
    got = protocol.decode_request(shifted, size).inputs
    for name in DTYPES:
        assert got[name].flags.writeable
        assert got[name].flags.aligned
        assert got[name].tobytes() == mixed()[name].tobytes()


def test_row_53_tensors_in_the_order_of_another_client():
    text = (
        b'{"inputs":[{"name":"a","shape":[1],"datatype":"UINT8",'
        b'"parameters":{"binary_data_size":1}},{"name":"b","shape":[1],"datatype":"FP64",'
        b'"parameters":{"binary_data_size":8}}]}'
    )
    body = bytearray(text + b"\1" + np.float64(0.5).tobytes())
    got = protocol.decode_request(body, len(text)).inputs
    assert got["a"].tolist() == [1]
    assert got["b"].tolist() == [0.5]
    assert got["b"].flags.aligned
    assert got["b"].flags.writeable


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_row_54_no_two_tensors_of_a_request_overlap(kind):
    body, size = whole(mixed(), kind)
    got = protocol.decode_request(body, size).inputs
    for one, other in combinations(DTYPES, 2):
        assert not np.shares_memory(got[one], got[other])
    for name in DTYPES:
        got[name][...] = 0
        assert all(got[other].all() for other in DTYPES[DTYPES.index(name) + 1 :])


@pytest.mark.parametrize("binary", [True, False])
def test_row_54_two_requests_never_share_memory(binary):
    encoded = protocol.encode_request(mixed(), binary=binary)
    raw = b"".join(encoded.buffers)
    for kind in (bytes, bytearray):
        one = protocol.decode_request(kind(raw), encoded.json_size).inputs
        other = protocol.decode_request(kind(raw), encoded.json_size).inputs
        for name in DTYPES:
            assert not np.shares_memory(one[name], other[name])
            one[name][...] = 0
            assert other[name].all()


def test_row_54_one_bytes_object_decoded_twice():
    body, size = whole(mixed(), bytes)
    one = protocol.decode_request(body, size).inputs
    other = protocol.decode_request(body, size).inputs
    for name in DTYPES:
        assert not np.shares_memory(one[name], other[name])


def test_decoded_arrays_outlive_their_body():
    body, size = whole({"x": large()})
    got = protocol.decode_request(body, size).inputs["x"]
    del body
    assert got.all()


def test_the_first_tensor_starts_at_64_bytes():
    for length in range(70):
        body = protocol.encode_request({"x" * (length + 1): np.zeros(1)})
        assert body.json_size % 64 == 0
        assert body.json_size == len(body.buffers[0])


def test_strings_take_memory_by_their_size(peak_of):
    body, size = whole({"x": np.array(["abcdefgh"] * 50_000, dtype=object)})
    _, peak = peak_of(lambda: protocol.decode_request(body, size))
    assert peak < 16 * len(body)
