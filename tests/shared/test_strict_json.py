"""JSON from anywhere: what is refused, and that a refusal shows nothing of the text."""

from __future__ import annotations

import json
import time

import pytest

from eisen_deploy.client._shared.errors import BodyTooLarge, MalformedBody
from eisen_deploy.client._shared.wire import strict_json

MIB = 2**20
SECRET = "Zz7Qq"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b'{"Zz7Qq":}', id="no-value"),
        pytest.param(b'{"Zz7Qq" 1}', id="no-colon"),
        pytest.param(b"Zz7Qq", id="bare-word"),
        pytest.param(b'"Zz7Qq', id="unclosed-string"),
        pytest.param(b'"Zz7Qq\\q"', id="unknown-escape"),
        pytest.param(b'"Zz7Qq\x07"', id="control-character"),
        pytest.param(b'"Zz7Qq\n"', id="line-break-in-a-string"),
        pytest.param(b'"\\uZz7Qq"', id="broken-escape"),
        pytest.param(b'["Zz7Qq",]', id="trailing-comma"),
        pytest.param(b"['Zz7Qq']", id="single-quotes"),
        pytest.param(b"[1] // Zz7Qq", id="comment"),
        pytest.param(b'{} "Zz7Qq"', id="text-after-the-value"),
        pytest.param(b'"Zz7Qq\xff"', id="not-utf8"),
        pytest.param(b'\xef\xbb\xbf"Zz7Qq"', id="byte-order-mark"),
        pytest.param(b'"Zz7Qq\\ud83d"', id="high-surrogate"),
        pytest.param(b'"Zz7Qq\\uDE00"', id="low-surrogate"),
        pytest.param(b'"\\ude00\\ud83d Zz7Qq"', id="surrogates-the-wrong-way-round"),
        pytest.param(b'{"\\ud83d":"Zz7Qq"}', id="surrogate-in-a-key"),
        pytest.param(b'["Zz7Qq",NaN]', id="nan"),
        pytest.param(b'["Zz7Qq",Infinity]', id="infinity"),
        pytest.param(b'["Zz7Qq",-Infinity]', id="minus-infinity"),
        pytest.param(b'["Zz7Qq",1e400]', id="1e400"),
        pytest.param(b'["Zz7Qq",-1E+0400]', id="minus-1e400-with-a-zero"),
        pytest.param(b'["Zz7Qq",1.5e309]', id="1.5e309"),
        pytest.param(b'["Zz7Qq",%se99]' % (b"9" * 210), id="long-mantissa-and-short-exponent"),
        pytest.param(b'["Zz7Qq",%se99]' % (b"9" * 299), id="longer-mantissa-and-short-exponent"),
        pytest.param(b'["Zz7Qq",%s.0]' % (b"9" * 310), id="number-of-310-digits"),
        pytest.param(b'["Zz7Qq",%s]' % (b"9" * 301), id="integer-of-301-digits"),
        pytest.param(b'["Zz7Qq",-%s]' % (b"9" * 5000), id="integer-of-5000-digits"),
        pytest.param(b'{"Zz7Qq":1,"Zz7Qq":1}', id="duplicate-key"),
        pytest.param(b'{"a":{"Zz7Qq":1,"\\u005az7Qq":2}}', id="duplicate-key-escaped"),
        pytest.param(b'{"a":' * 33 + b'"Zz7Qq"' + b"}" * 33, id="33-objects-deep"),
        pytest.param(b"[" * 33 + b'"Zz7Qq"' + b"]" * 33, id="33-lists-deep"),
        pytest.param(b'["\\\\",' + b"[" * 32 + b'"Zz7Qq"' + b"]" * 33, id="33-after-a-backslash"),
        pytest.param(b'["\\"",' + b"[" * 32 + b'"Zz7Qq"' + b"]" * 33, id="33-after-a-quote"),
        pytest.param(b'["\\\\\\"",' + b"[" * 32 + b'"Zz7Qq"' + b"]" * 33, id="33-after-both"),
        pytest.param(b'"Zz7Qq"' + b"[" * 10**6, id="brackets-after-the-value"),
        pytest.param(b'["' + b"[" * 10**6 + b"Zz7Qq", id="brackets-in-an-unclosed-string"),
        pytest.param(b"\\" * 10**6 + b'"Zz7Qq"', id="backslashes"),
        pytest.param(b"]" * 100 + b"[" * 100 + b'"Zz7Qq"', id="closing-first"),
        pytest.param(b"", id="nothing"),
        pytest.param(b" \n", id="white-space"),
        pytest.param(b"\0", id="nul"),
    ],
)
def test_refused(text):
    with pytest.raises(MalformedBody) as caught:
        strict_json.loads(text, "the text")
    assert caught.type is MalformedBody
    assert str(caught.value).startswith("the text ")
    for piece in (SECRET, "7Q", "999"):
        assert piece not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param(b' {"a": [1, -2.5, true, null]} \r\n\t', {"a": [1, -2.5, True, None]}, id="a"),
        pytest.param(b'"\\ud83d\\ude00"', "\U0001f600", id="surrogate-pair"),
        pytest.param(b'"\\\\ud800"', "\\ud800", id="what-only-looks-like-a-surrogate"),
        pytest.param('"\u00e9\U0001f600"'.encode(), "\u00e9\U0001f600", id="unicode"),
        pytest.param(b'"\\u0000"', "\0", id="nul"),
        pytest.param(b"9" * 300, int("9" * 300), id="integer-of-300-digits"),
        pytest.param(b"1e308", 1e308, id="1e308"),
        pytest.param(b"1e-400", 0.0, id="1e-400"),
        pytest.param(b"-0.0", -0.0, id="minus-zero"),
        pytest.param(b"0." + b"1" * 1000, 1 / 9, id="long-fraction"),
        pytest.param(b'"1e400 and NaN"', "1e400 and NaN", id="numbers-in-a-string"),
        pytest.param(b'"' + b"[" * 10**6 + b'"', "[" * 10**6, id="brackets-in-a-string"),
        pytest.param(b'["\\"[[[[' + b"[" * 40 + b'"]', ['"' + "[" * 44], id="after-a-quote"),
        pytest.param(
            b'["\\\\","[[[[' + b"[" * 40 + b'"]', ["\\", "[" * 44], id="after-a-backslash"
        ),
        pytest.param(b"[" + b"[]," * 100 + b"[]]", [[]] * 101, id="wide-but-not-deep"),
        pytest.param(b'[{"a":1},{"a":1}]', [{"a": 1}, {"a": 1}], id="one-key-in-two-objects"),
    ],
)
def test_taken(text, value):
    for data in (text, bytearray(text), memoryview(text)):
        assert repr(strict_json.loads(data, "the text")) == repr(value)


def test_32_deep_is_taken():
    value = strict_json.loads(b"[" * 32 + b"1" + b"]" * 32, "the text")
    for _ in range(32):
        (value,) = value
    assert value == 1


def test_over_the_cap():
    text = b'"%s"' % (b"a" * (strict_json.MAX_BYTES - 2))
    assert len(strict_json.loads(text, "the text")) == strict_json.MAX_BYTES - 2
    with pytest.raises(BodyTooLarge, match=r"^the text has 8388609 bytes") as caught:
        strict_json.loads(text + b" ", "the text")
    assert caught.value.status == 413


@pytest.mark.parametrize("text", [b"[]", b"1", b'"a"', b"null", b"true", b"1.5"])
def test_not_an_object(text):
    with pytest.raises(MalformedBody, match=r"^the text must be a JSON object, got (a|an|null)"):
        strict_json.loads_object(text, "the text")


def test_object():
    assert strict_json.loads_object(b'{"a":1}', "the text") == {"a": 1}


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "null"),
        (True, "a boolean"),
        (1, "an integer"),
        (1.0, "a number"),
        ("", "a string"),
        ([], "a list"),
        ({}, "an object"),
    ],
)
def test_names_of_json_types(value, name):
    assert strict_json.name_json_type(value) == name


@pytest.mark.slow  # a few seconds
@pytest.mark.parametrize(
    ("text", "memory"),
    [
        pytest.param(b'"%s"' % (b"a" * MIB), 8, id="one-string"),
        pytest.param(b'"%s"' % (b"\\n" * MIB), 8, id="escapes"),
        pytest.param(b'"' + b'\\"' * MIB, 8, id="escaped-quotes-and-no-end"),
        pytest.param(b'"' * MIB, 40, id="quotes"),
        pytest.param(b'"["[' * (MIB // 4), 40, id="quotes-and-brackets"),
        pytest.param(b"[" * MIB, 8, id="open-brackets"),
        pytest.param(b"[" + b"[]," * (MIB // 6) + b"[]]", 40, id="empty-lists"),
        pytest.param(b"[" + b"{}," * (MIB // 6) + b"{}]", 100, id="empty-objects"),
        pytest.param(b"[" + b"1," * (MIB // 4) + b"1]", 40, id="digits"),
        pytest.param(b"[" + (b"1" * 199 + b",") * (MIB // 200) + b"1]", 8, id="long-integers"),
        pytest.param(b"0." + b"1" * MIB, 8, id="one-fraction"),
        pytest.param(b"1" * MIB, 8, id="one-integer"),
        pytest.param(b"[" + b"1e1000," * (MIB // 7) + b"1]", 40, id="exponents"),
    ],
)
def test_time_and_memory_grow_with_the_text_alone(text, memory, peak_of):
    def read():
        try:
            strict_json.loads(text, "the text")
        except MalformedBody:
            return

    started = time.perf_counter()
    read()
    assert time.perf_counter() - started < 2
    assert peak_of(read)[1] < memory * len(text)


def test_agrees_with_the_standard_parser_on_what_both_take():
    value = {"a": [1, 2.5, -3e-5, '\u00e9\n"\\', None, True, {"b": []}], "": {}}
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=2)):
        assert strict_json.loads(text.encode(), "the text") == value
