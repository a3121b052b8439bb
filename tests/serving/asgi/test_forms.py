"""Forms become fields by name, whatever the pieces in which they arrive."""

from __future__ import annotations

import json

import pytest

from eisen_deploy.serving.runtime.messages import Reply

KIND = "multipart/form-data; boundary=xyz"


def fields_as_json(requests):
    (request,) = requests
    form = {name: bytes(value).hex() for name, value in (request.form or {}).items()}
    return [Reply((json.dumps(form).encode(),))]


def part(name, content, more=b""):
    return (
        b'--xyz\r\nContent-Disposition: form-data; name="'
        + name
        + b'"'
        + more
        + b"\r\n\r\n"
        + content
        + b"\r\n"
    )


END = b"--xyz--\r\n"
CONTENTS = (b"", b"a", b"\r\n", b"\r\n--xy", b"--xyz", b"\r\n--xyzz", bytes(range(256)) * 3000)


@pytest.mark.parametrize("content", CONTENTS[:-2] + CONTENTS[-1:])
@pytest.mark.parametrize("size", [1, 7, 10**6])
def test_a_field_is_what_was_sent(serve, content, size):
    if size == 1 and len(content) > 1000:
        size = 333
    body = part(b"x", content) + part(b"y", b"second") + END
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    _, _, got = serve(fields_as_json).ask(body=pieces, Content_Type=KIND)
    assert json.loads(got) == {"x": content.hex(), "y": b"second".hex()}


def test_names_and_further_headers(serve):
    body = part("größe".encode(), b"1", b'; filename="a.npy"\r\nContent-Type: text/plain') + END
    _, _, got = serve(fields_as_json).ask(body=body, Content_Type=KIND)
    assert json.loads(got) == {"größe": "31"}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (part(b"x", b"1"), "cut off"),
        (part(b"x", b"1") + part(b"x", b"2") + END, "two parts named 'x'"),
        (b"--xyz\r\nContent-Type: text/plain\r\n\r\n1\r\n" + END, "no name"),
        (b"hello", "not multipart"),
        (part(b"", b"1") + END, "no name"),
        (b"".join(part(b"%d" % number, b"") for number in range(4200)) + END, "more than"),
    ],
)
def test_what_is_not_a_form_is_refused(serve, body, text):
    status, _, error = serve(fields_as_json).ask(body=body, Content_Type=KIND)
    assert (status, error["type"]) == (400, "MalformedBody")
    assert text in error["message"]
