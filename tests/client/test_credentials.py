"""Credentials and trust: what the environment may change, and what it may not."""

from __future__ import annotations

import base64

import pytest

from eisen_deploy.client import (
    ConnectionFailed,
    EisenClientError,
    MalformedReply,
    MalformedRequest,
    ProxyFailed,
    TLSFailed,
    Unauthorized,
    UnknownOutcome,
)

from .conftest import reply


@pytest.fixture
def netrc(tmp_path, monkeypatch):
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login canary password canary\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))


def test_requests_alone_would_send_what_netrc_says(netrc, serve, http):
    """Else the cases with a netrc in test_tls_matrix.py show nothing."""
    import requests

    server = serve(http.echo())
    with requests.Session() as session:
        session.post(server.url, data=b"", headers={"Authorization": "Bearer key"})
    assert server.seen[0].headers["authorization"].startswith("Basic ")


def test_a_token_may_be_asked_for_anew(serve, connect, http):
    tokens = iter(["first", "second"])
    server = serve(http.echo())
    client = connect(server, token=lambda: next(tokens))
    client.predict({"x": 1})
    client.predict({"x": 1})
    sent = [request.headers["authorization"] for request in server.seen]
    assert sent == ["Bearer first", "Bearer second"]


def test_a_token_asked_for_is_checked_like_any_other(serve, connect, http):
    server = serve(http.echo())
    with pytest.raises(ValueError, match="token must be"):
        connect(server, token=lambda: "a\r\nX: y").predict({"x": 1})
    assert server.connections == 0


def test_what_the_function_for_the_token_raises_is_its_callers(connect):
    def broken():
        raise FileNotFoundError("key_file.json")

    with pytest.raises(FileNotFoundError):
        connect("http://127.0.0.1:9/m", token=broken).predict({"x": 1})


def test_a_user_in_the_address_becomes_basic_credentials(serve, connect, http):
    server = serve(http.echo())
    connect(f"http://us%40er:p%C3%A4ss@127.0.0.1:{server.port}/m").predict({"x": 1})
    kind, _, told = server.seen[0].headers["authorization"].partition(" ")
    assert kind == "Basic"
    assert base64.b64decode(told).decode() == "us@er:päss"


def test_a_wrong_token_is_recognised_from_the_400_of_torchserve(serve, connect, http):
    server = serve(http.always(http.error(400, "InvalidKeyException", "Token expired.")))
    with pytest.raises(Unauthorized, match="key_file") as caught:
        connect(server, token="canary").predict({"x": 1})
    assert "canary" not in str(caught.value) + repr(caught.value)


# --- TLS ----------------------------------------------------------------------------------


@pytest.mark.parametrize("verify", [True, "stranger.pem"])
def test_a_server_that_is_not_trusted(verify, serve, connect, http, tls_context, certificates):
    server = serve(http.echo(), tls_context)
    verify = verify if verify is True else str(certificates / verify)
    with pytest.raises(TLSFailed, match=r"not trusted.*verify=") as caught:
        connect(server, token="key", verify=verify).predict({"x": 1})
    assert not caught.value.retry
    assert server.seen == []


@pytest.mark.parametrize("option", ["verify", "cert"])
def test_a_file_that_is_not_there(option, connect, serve, tls_context, http, tmp_path):
    server = serve(http.echo(), tls_context)
    with pytest.raises(TLSFailed, match="verify=, cert= or REQUESTS_CA_BUNDLE"):
        connect(server, **{option: str(tmp_path / "absent.pem")}).predict({"x": 1})


def test_https_to_a_server_without_it(serve, connect, certificates):
    server = serve(lambda peer: (peer.sock.recv(9), peer.send(b"HTTP/1.1 400 \r\n\r\n")))
    url = f"https://127.0.0.1:{server.port}/m"
    with pytest.raises(TLSFailed) as caught:
        connect(url, verify=str(certificates / "authority.pem")).predict({"x": 1})
    text = "while connecting: the server does not speak TLS at this port, but probably plain HTTP"
    assert text in str(caught.value)
    assert caught.value.advice.startswith("use http:// in its address")


@pytest.mark.parametrize(
    "greeting",
    [
        b"<html>Bad Request</html>",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"220 mail.invalid ESMTP\r\n",
        b"HTTP/1.1 103 x\r\n\r\nHTTP/1.1 400 x\r\n\r\n",
    ],
)
def test_https_to_a_server_that_does_not_speak_tls(greeting, serve, connect):
    server = serve(lambda peer: (peer.sock.recv(9), peer.send(greeting)))
    with pytest.raises(TLSFailed, match="does not speak TLS"):
        connect(f"https://127.0.0.1:{server.port}/m").predict({"x": 1})


def test_a_proxy_with_tls_that_has_none(serve, connect, monkeypatch):
    proxy = serve(lambda peer: (peer.sock.recv(9), peer.send(b"HTTP/1.1 400 \r\n\r\n")))
    monkeypatch.setenv("HTTPS_PROXY", f"https://127.0.0.1:{proxy.port}")
    with pytest.raises(TLSFailed, match="the proxy does not speak TLS") as caught:
        connect("https://model.invalid/m").predict({"x": 1})
    assert caught.value.advice.startswith("use http:// in HTTPS_PROXY")


def test_a_tunnel_to_a_server_without_tls(serve, connect, monkeypatch):
    def script(peer):
        peer.receive_head()
        peer.send(b"HTTP/1.1 200 x\r\n\r\n")
        peer.sock.recv(9)
        peer.send(b"HTTP/1.1 400 \r\n\r\n")

    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{serve(script).port}")
    with pytest.raises(TLSFailed, match="the server does not speak TLS") as caught:
        connect("https://model.invalid/m").predict({"x": 1})
    assert caught.value.advice.startswith("use http:// in its address")


NGINX = (
    b"<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head></html>"
)
APACHE = b"<p>Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"\x15\x03\x01\x00\x02\x02\x46", MalformedReply),
        (b"\x15\x03\x03\x00\x02\x02\x0a", MalformedReply),
        (b"\x16\x03\x01\x00\x05hello\n", MalformedReply),
        (reply(400, {"Content-Type": "text/html"}, NGINX), MalformedRequest),
        (reply(400, {"Content-Type": "text/html"}, APACHE), MalformedRequest),
        (reply(400, {}, b"Client sent an HTTP request to an HTTPS server.\n"), MalformedRequest),
        (reply(400, {}, b"This combination of host and port requires TLS.\n"), MalformedRequest),
    ],
    ids=["alert of TLS 1.0", "of 1.2", "a handshake", "nginx", "apache", "go", "tomcat"],
)
@pytest.mark.parametrize("method", ["predict", "get_metadata"])
def test_plain_http_to_a_server_with_tls(answer, expected, method, fails, http):
    error = fails(http.once(answer), method)
    assert type(error) is expected
    assert "the server speaks TLS at this port" in str(error)
    assert str(error).endswith("use https:// in the address")
    assert error.executed is False


def test_plain_http_to_python_with_tls(serve, connect, http, tls_context):
    """OpenSSL answers with an alert, or with nothing."""
    server = serve(http.echo(), tls_context)
    with pytest.raises(EisenClientError):
        connect(server.url.replace("https", "http")).predict({"x": 1})


def test_another_400_is_not_about_tls(fails, http):
    page = b"the request is malformed, see https://server/"
    assert "https" not in str(fails(http.once(reply(400, {}, page))))


def test_http_to_a_server_with_tls(serve, connect, http, tls_context):
    server = serve(http.echo(), tls_context)
    with pytest.raises((ConnectionFailed, MalformedReply, UnknownOutcome)):
        connect(f"http://127.0.0.1:{server.port}/m").predict({"x": 1})


# --- proxies ------------------------------------------------------------------------------


def test_a_proxy_of_the_environment_is_used(serve, connect, http, monkeypatch):
    proxy = serve(http.echo())
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
    assert connect("http://model.invalid/predictions/seg").predict({"x": 1}) == {"x": 1}
    assert proxy.seen[0].line.startswith("POST http://model.invalid/predictions/seg ")


def test_a_proxy_that_is_not_there(connect, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://user:canary@127.0.0.1:9")
    with pytest.raises(ProxyFailed, match="NO_PROXY") as caught:
        connect("http://model.invalid/m").predict({"x": 1})
    assert "canary" not in str(caught.value)
