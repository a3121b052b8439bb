"""Requests that ask for more than they have bytes for, and those that only look so."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from eisen_deploy.serving.runtime._shared.errors import ContractError
from eisen_deploy.serving.runtime._shared.model.metadata import Metadata
from eisen_deploy.serving.runtime._shared.wire import protocol
from eisen_deploy.serving.runtime.answering.bodies import decode, encode, npy
from eisen_deploy.serving.runtime.errors import (
    BodyTooLarge,
    InvalidInput,
    InvalidOutput,
    MalformedBody,
    ReplyTooLarge,
)
from eisen_deploy.serving.runtime.messages import Request

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import hostile

MIB = 2**20
DECLARED = Metadata.parse(hostile.METADATA)
IMAGE = np.zeros((1, 1, 4), np.float32)


def declared(kind, name="x"):
    return Metadata.parse({"inputs": [{"name": name, "type": kind}]})


def decoded(body, metadata, max_body=None):
    parts = body.parts and {name: bytearray(raw) for name, raw in body.parts.items()}
    return decode.decode(Request(body.headers, bytearray(body.body), parts), metadata, max_body)


def npy_of(descr, shape, data=b"", **options):
    headers = {"content-type": "application/x-npy"}
    return hostile.Hostile(headers, hostile.npy(descr, shape, data, **options))


# --- every element is of the request's bytes ----------------------------------------------------


@pytest.mark.parametrize(
    "descr", ["'|S0'", "'<U0'", "'>U0'", "'|S00'", "'S'", "'U'", "'|V0'", "'|V4'"]
)
@pytest.mark.parametrize("shape", ["()", "(5,)", "(1000000,)", "(0,)", "(2, 0)"])
def test_elements_without_bytes_are_refused(descr, shape):
    for kind in ("ndarray", "str", "json"):
        with pytest.raises(MalformedBody, match=r"have no bytes|numbers or strings"):
            decoded(npy_of(descr, shape), declared(kind))


@pytest.mark.parametrize(
    "descr",
    [
        "[('a', '<f4')]",
        "('<f4', (2,))",
        "[]",
        "'<f4,<f4'",
        "'O'",
        "'<M8[s]'",
        "'(2,)f4'",
        "'f4, O'",
    ],
)
def test_structures_objects_and_dates_are_refused(descr):
    with pytest.raises(MalformedBody):
        decoded(npy_of(descr, "(2,)", bytes(16)), declared("ndarray"))


@pytest.mark.parametrize("byte", [2, 3, 128, 255])
def test_bools_of_other_bytes_are_refused(byte):
    with pytest.raises(MalformedBody, match="a byte of 0 or 1"):
        decoded(npy_of("'|b1'", "(3,)", bytes([0, 1, byte])), declared("ndarray"))
    with pytest.raises(MalformedBody, match="a byte of 0 or 1"):
        decoded(npy_of("'?'", "(1, 3)", bytes([byte, 1, 0]), order=True), declared("ndarray"))


@pytest.mark.parametrize("code", [0x110000, 0xFFFFFFFF, 0xD800, 0xDFFF])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["str", "json", "list", "ndarray"])
def test_numbers_that_are_no_characters_are_refused(code, order, kind):
    raw = np.array([0x61, code], f"{order}u4").tobytes()
    with pytest.raises(MalformedBody, match="not a character"):
        decoded(npy_of(f"'{order}U2'", "(1,)", raw), declared(kind))


@pytest.mark.parametrize("order", ["<", ">"])
def test_texts_of_npy_are_read(order):
    raw = np.array(["a", "\U0001f600b"], f"{order}U2").tobytes()
    got = decoded(npy_of(f"'{order}U2'", "(2,)", raw), declared("str")).inputs["x"]
    assert got.tolist() == ["a", "\U0001f600b"]


@pytest.mark.parametrize(
    "header",
    [
        "{'shape': (2,), 'descr': '<f4', 'fortran_order': False}",
        '{"descr": "<f4", "fortran_order": False, "shape": (2,)}',
        "{ 'descr' : '<f4' ,'fortran_order':False,'shape':(2L,) , }  \n",
        "{'descr': '=f4', 'fortran_order': True, 'shape': (2,), }",
        "{'descr': 'f4', 'fortran_order': False, 'shape': ( 2 ,), }",
    ],
)
def test_headers_as_others_write_them(header):
    raw = b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header.encode() + bytes(8)
    assert npy.read(raw, "it").tolist() == [0, 0]


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, , )}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': [2]}",
        "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': '<f3', 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (%s)}" % ("1, " * 65),
        "{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999, 9999999999999, 0)}",
        "dict(descr='<f4')",
        "",
    ],
)
def test_headers_that_are_none(header):
    raw = b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header.encode() + bytes(8)
    with pytest.raises(MalformedBody):
        npy.read(raw, "it")


def test_outputs_without_bytes_are_no_npy_file():
    without = np.zeros(3, [("a", "S0")])["a"]
    with pytest.raises(InvalidOutput, match=r"no \.npy form"):
        npy.write(without)


# --- budgets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["json", "list", "str", "int", "float", "bool"])
@pytest.mark.parametrize("shape", [[10**8, 0], [10**8, 1, 0], [10**4, 10**4, 0], [10**8, 0, 5]])
def test_a_list_for_each_empty_row_is_not_made(kind, shape, peak_of):
    body = hostile.binary(hostile.tensor("x", "UINT8", shape, None))

    def call():
        try:
            return decoded(body, declared(kind))
        except (BodyTooLarge, InvalidInput) as error:
            return error

    outcome, peak = peak_of(call)
    assert peak < MIB
    assert isinstance(outcome, Exception) or kind == "str"


@pytest.mark.parametrize("shape", [(10**8, 1, 0), (10**4, 10**4, 0), (0, 10**8)])
def test_nor_is_it_made_for_a_reply(shape, peak_of):
    outputs = {"y": np.zeros(shape, np.float32), "z": [np.zeros(shape, np.uint8)]}

    def call():
        try:
            return encode._encode_json(outputs).size
        except ContractError as error:
            return type(error).__name__

    outcome, peak = peak_of(call)
    assert peak < MIB
    assert outcome == ("BodyTooLarge" if shape[0] else len('{"y": [], "z": [[]]}'))


def test_a_reply_too_large_for_json_says_how_to_ask(start, affine, tmp_path):
    metadata = {**affine[1], "outputs": [{"name": "big"}]}
    worker = start(affine[0](), metadata, None, lambda d: {"big": np.zeros((2**22, 1), np.int32)})
    answer = worker.post(b'{"x": [[1, 2]]}', {"Content-Type": "application/json"})
    assert (answer.status, answer.json["type"]) == (413, ReplyTooLarge.__name__)
    assert "send Accept: application/octet-stream" in answer.json["message"]
    headers = {"Content-Type": "application/json", "Accept": "application/octet-stream"}
    assert worker.post(b'{"x": [[1, 2]]}', headers).outputs["big"].shape == (2**22, 1)


def test_values_of_unknown_inputs_are_not_read():
    broken = hostile.tensor("more", "BYTES", [1], b"\3\0\0\0[[[", content_type="json")
    with pytest.raises(InvalidInput, match="more: is not an input"):
        decoded(hostile.binary(*hostile.whole(broken)), DECLARED)
    with pytest.raises(InvalidInput, match="more: is not an input"):
        decoded(hostile.form(image=hostile.saved(IMAGE), more=b"no .npy"), DECLARED)
    with pytest.raises(MalformedBody, match="is not JSON"):  # of one that there is
        decoded(
            hostile.binary(*hostile.whole(({**broken[0], "name": "options"}, broken[1]))), DECLARED
        )


def test_all_problems_of_a_request_with_unknown_inputs_are_reported():
    with pytest.raises(InvalidInput) as caught:
        decoded(
            hostile.binary(
                hostile.tensor("image", "FP32", [1], bytes(4)),
                hostile.tensor("more", "FP32", [1], bytes(4)),
            ),
            DECLARED,
        )
    assert len(caught.value.problems) == 4  # a shape, two that are missing, one that is not


def test_messages_hold_no_long_names_and_not_all_unknown_ones(worker):
    name = "n" * MIB
    for content in ("json", "str", "float"):
        body = hostile.binary(
            hostile.tensor(name, "BYTES", [1], b"\1\0\0\0\xff", content_type=content)
        )
        with pytest.raises(MalformedBody) as caught:
            decoded(body, Metadata.parse({}))
        assert len(str(caught.value)) < 200
    x = hostile.tensor("x", "FP32", [1, 2], bytes(8))
    body = hostile.binary(x, outputs=[f"{index}{name[:1000]}" for index in range(4096)])
    answer = worker.post(*reversed(body.as_sent()))
    assert (answer.status, len(answer.json["problems"])) == (422, 8)


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("letters", [b"a", "\u00e9".encode(), "\U0001f600".encode()])
def test_texts_of_forms_count(letters):
    text = letters * (100 * MIB // len(letters))
    if len(letters) == 1:
        assert len(decoded(hostile.form(x=text), declared("str")).inputs["x"]) == len(text)
    else:
        with pytest.raises(BodyTooLarge):
            decoded(hostile.form(x=text), declared("str"))


def test_all_parts_of_a_request_are_on_one_account():
    text = hostile._fill(b"[]", 2 * MIB)
    tensors = [hostile._json_tensor(name, text) for name in ("image", "options")]
    decoded_alone = decoded(hostile.binary(tensors[1]), declared("json", "options"))
    assert len(decoded_alone.inputs["options"]) > 500_000
    both = Metadata.parse({"inputs": [{"name": "image"}, {"name": "options"}]})
    with pytest.raises(BodyTooLarge, match="send numbers as binary tensors"):
        decoded(hostile.binary(*tensors), both)
    with pytest.raises(BodyTooLarge):
        decoded(
            hostile.form(image=text, options=text),
            Metadata.parse(
                {"inputs": [{"name": "image", "type": "json"}, {"name": "options", "type": "json"}]}
            ),
        )


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_body_grows_to_what_the_server_takes(coding, peak_of):
    pack = gzip.compress if coding == "gzip" else zlib.compress
    text = b'{"x": [[1, 2]]}'.ljust(MIB)
    headers = {"content-type": "application/json", "content-encoding": coding}
    whole = hostile.Hostile(headers, pack(text))
    assert decoded(whole, declared("ndarray"), MIB).inputs["x"].tolist() == [[1, 2]]
    larger = hostile.Hostile(headers, pack(text.ljust(64 * MIB)))

    def call():
        with pytest.raises(BodyTooLarge, match=f"more than {MIB} bytes .* raise its limit"):
            decoded(larger, declared("ndarray"), MIB)

    assert peak_of(call)[1] < 3 * MIB


def test_the_limit_is_the_server_s(worker):
    from eisen_deploy.serving.runtime.answering import limits, pipeline

    body = gzip.compress(b'{"x": [[1, 2]]}'.ljust(2000))
    sent = Request({"content-type": "application/json", "content-encoding": "gzip"}, body)
    for size, status in ((2000, 200), (1999, 413), (None, 200)):
        (reply,) = pipeline.answer(worker.handler, [sent], limits.Limits(request=size))
        assert reply.status == status


def test_a_code_for_each_few_bytes_is_given_up(monkeypatch):
    monkeypatch.setattr(decode, "INFLATING", (0.0, 0.0))
    with pytest.raises(BodyTooLarge, match="takes too long to decompress"):
        decoded(hostile.bodies()["codes-of-nothing"](8 * MIB), declared("ndarray"))


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    ("sent", "asked", "size", "is_read"),
    [
        ("UINT8", "float32", 8 * MIB, True),
        ("UINT8", "float64", 8 * MIB, True),
        ("UINT8", "complex128", 32 * MIB, False),
        ("FP32", "float64", 64 * MIB, True),
    ],
)
def test_a_cast_is_within_the_law_or_refused_with_a_way_out(sent, asked, size, is_read):
    item = 4 if sent == "FP32" else 1
    body = hostile.binary(hostile.tensor("x", sent, [size // item], bytes(size)))
    if is_read:
        assert decoded(body, declared(f"ndarray[{asked}]")).inputs["x"].dtype == asked
    else:
        with pytest.raises(BodyTooLarge, match=f"send x as {asked}"):
            decoded(body, declared(f"ndarray[{asked}]"))


# --- what is right stays so --------------------------------------------------------------------


@pytest.mark.slow
def test_a_real_volume_as_json_is_read():
    rows = np.random.default_rng(0).integers(0, 4096, (24, 256, 256))
    text = json.dumps({"x": rows.tolist()}, separators=(",", ":")).encode()
    assert 7 * MIB < len(text) < 8 * MIB
    got = decoded(hostile.plain(text), declared("ndarray")).inputs["x"]
    np.testing.assert_array_equal(got, rows)


def test_4096_tensors_are_read():
    names = [f"t{index}" for index in range(protocol.MAX_TENSORS)]
    tensors = [hostile.tensor(name, "FP32", [1], bytes(4)) for name in names]
    got = decoded(hostile.binary(*tensors), Metadata.parse({})).inputs
    assert list(got) == names


@pytest.mark.slow
def test_a_million_texts_are_read():
    element = b"\x05\0\0\0hello"
    body = hostile.binary(hostile.tensor("x", "BYTES", [10**6], element * 10**6, numpy_dtype="str"))
    assert decoded(body, declared("ndarray")).inputs["x"][-1] == "hello"


@pytest.mark.parametrize("place", ["request", "tensor", "output"])
def test_parameters_may_be_null(place):
    entry = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}
    head = {"inputs": [entry], "outputs": [{"name": "y"}]}
    {"request": head, "tensor": entry, "output": head["outputs"][0]}[place]["parameters"] = None
    call = decoded(hostile.plain(json.dumps(head).encode()), declared("ndarray"))
    assert call.inputs["x"].tolist() == [1]
    assert call.outputs == ("y",)


def test_parameters_of_a_reply_may_be_null():
    head = {
        "outputs": [
            {"name": "y", "shape": [1], "datatype": "FP32", "data": [1], "parameters": None}
        ],
        "parameters": None,
    }
    assert protocol.decode_reply(json.dumps(head).encode()).outputs["y"].tolist() == [1]
