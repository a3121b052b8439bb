"""What a client can be made of, and what it shows of it."""

from __future__ import annotations

import pytest

from eisen_deploy.client import EisenServingClient, InvalidURL


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8080/predictions/seg",
        "/predictions/seg",
        "ftp://localhost/seg",
        "file:///etc/passwd",
        "http://",
        "http:///predictions/seg",
        "http://:8080/predictions/seg",
        "http://localhost:port/seg",
        "http://localhost:99999/seg",
        "http://[::1/seg",
        "http://local host/seg",
        "http://localhost/seg\r\nX: y",
        b"http://localhost/seg",
        None,
    ],
)
def test_invalid_addresses_are_refused(url):
    with pytest.raises(InvalidURL) as caught:
        EisenServingClient(url)
    assert isinstance(caught.value, ValueError)
    assert "localhost" not in str(caught.value).replace("http://localhost:8080/predictions", "")


@pytest.mark.parametrize(
    ("suffix", "target"),
    [
        ("/predictions/seg", "/predictions/seg"),
        ("/predictions/seg/", "/predictions/seg"),
        ("/predictions/seg/1.0", "/predictions/seg/1.0"),
        ("/v2/models/seg/infer", "/v2/models/seg/infer"),
        ("/predictions/seg?a=b", "/predictions/seg?a=b"),
        ("/predictions/seg/#part", "/predictions/seg"),
        ("", "/"),
    ],
)
def test_the_address_that_is_asked(suffix, target, serve, connect, http):
    server = serve(http.echo())
    connect(f"http://127.0.0.1:{server.port}{suffix}").predict({"x": 1})
    assert server.seen[0].line == f"POST {target} HTTP/1.1"


def test_repr_helps_and_leaks_nothing():
    url = "http://user:canary1@host:8080/predictions/seg/?key=canary2#canary3"
    text = repr(EisenServingClient(url, True, timeout=5))
    assert text == (
        "EisenServingClient('http://host:8080/predictions/seg', validate_inputs=True, timeout=5.0)"
    )
    assert "canary" not in repr(EisenServingClient("https://host/m", token="canary"))


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), True, "5", 10**7])
def test_a_timeout_is_a_number_of_seconds(timeout, serve, connect, http):
    with pytest.raises(ValueError, match="timeout must be"):
        EisenServingClient("http://host/m", timeout=timeout)
    client = connect(serve(http.echo()))
    with pytest.raises(ValueError, match="timeout must be"):
        client.predict({"x": 1}, timeout=timeout)
    with pytest.raises(ValueError, match="timeout must be"):
        client.get_metadata(timeout=timeout)


@pytest.mark.parametrize("max_reply", [0, -1, 1.5, True, None])
def test_a_limit_is_a_number_of_bytes(max_reply):
    with pytest.raises(ValueError, match="max_reply must be"):
        EisenServingClient("http://host/m", max_reply=max_reply)


@pytest.mark.parametrize("token", ["", "a b", "a\n", "ä", "a\r\nX-Evil: 1", 5, b"key"])
def test_a_token_that_cannot_be_sent_is_refused_and_not_shown(token):
    with pytest.raises(ValueError, match="token must be") as caught:
        EisenServingClient("http://host/m", token=token)
    assert "Evil" not in str(caught.value)


def test_token_and_user_exclude_each_other():
    with pytest.raises(ValueError, match="either a token or a user"):
        EisenServingClient("http://user:pw@host/m", token="key")
