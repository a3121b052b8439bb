"""Credentials and trust: what the environment may change, and what it may not."""

from __future__ import annotations

import base64
import socket
import ssl
import threading

import pytest

from eisen_deploy.client import (
    ConnectionFailed,
    MalformedReply,
    ProxyFailed,
    TLSFailed,
    Unauthorized,
    UnknownOutcome,
)


@pytest.fixture
def netrc(tmp_path, monkeypatch):
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login canary password canary\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))


def test_netrc_does_not_replace_the_token(netrc, serve, connect, http):
    server = serve(http.echo())
    connect(server, token="key").predict({"x": 1})
    assert server.seen[0].headers["authorization"] == "Bearer key"


def test_netrc_is_not_sent_where_there_is_no_token(netrc, serve, connect, http):
    server = serve(http.echo())
    connect(server).predict({"x": 1})
    assert "authorization" not in server.seen[0].headers


def test_requests_alone_would_send_what_netrc_says(netrc, serve, http):
    """Else the two tests above show nothing."""
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


def test_a_wrong_token_is_told_by_torchserve_with_400(serve, connect, http):
    server = serve(http.always(http.error(400, "InvalidKeyException", "Token expired.")))
    with pytest.raises(Unauthorized, match="key_file") as caught:
        connect(server, token="canary").predict({"x": 1})
    assert "canary" not in str(caught.value) + repr(caught.value)


def test_cookies_are_not_kept(serve, connect, http):
    server = serve(http.always(http.oip({"y": 1}, {"Set-Cookie": "id=1; Path=/"})))
    client = connect(server)
    client.predict({"x": 1})
    client.predict({"x": 1})
    assert "cookie" not in server.seen[1].headers


# --- TLS ----------------------------------------------------------------------------------


def test_a_trusted_server(serve, connect, http, tls_context, certificates):
    server = serve(http.echo(), tls_context)
    client = connect(server, verify=str(certificates / "authority.pem"))
    assert client.predict({"x": 1}) == {"x": 1}


@pytest.mark.parametrize("verify", [True, "stranger.pem"])
def test_a_server_that_is_not_trusted(verify, serve, connect, http, tls_context, certificates):
    server = serve(http.echo(), tls_context)
    verify = verify if verify is True else str(certificates / verify)
    with pytest.raises(TLSFailed, match=r"not trusted.*verify=") as caught:
        connect(server, token="key", verify=verify).predict({"x": 1})
    assert not caught.value.retry
    assert server.seen == []


def test_a_certificate_for_another_host(serve, connect, http, tls_context, certificates):
    server = serve(http.echo(), tls_context)
    url = f"https://127.0.0.2:{server.port}/m"
    with socket.create_server(("127.0.0.2", server.port)) as other:

        def answer():
            sock, _ = other.accept()
            try:
                tls_context.wrap_socket(sock, server_side=True).close()
            except OSError:
                sock.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(TLSFailed, match="not trusted"):
            connect(url, verify=str(certificates / "authority.pem")).predict({"x": 1})
        thread.join()


def test_the_environments_authorities_do_not_replace_the_arguments(
    serve, connect, http, tls_context, certificates, monkeypatch
):
    server = serve(http.echo(), tls_context)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates / "authority.pem"))
    with pytest.raises(TLSFailed):
        connect(server, verify=str(certificates / "stranger.pem")).predict({"x": 1})
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates / "stranger.pem"))
    client = connect(server, verify=str(certificates / "authority.pem"))
    assert client.predict({"x": 1}) == {"x": 1}


def test_the_environments_authorities_count_where_there_is_no_argument(
    serve, connect, http, tls_context, certificates, monkeypatch
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates / "authority.pem"))
    assert connect(serve(http.echo(), tls_context)).predict({"x": 1}) == {"x": 1}


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_no_trust_needed_if_the_caller_says_so(
    serve, connect, http, tls_context, certificates, monkeypatch
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates / "stranger.pem"))
    assert connect(serve(http.echo(), tls_context), verify=False).predict({"x": 1}) == {"x": 1}


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_server_that_wants_a_certificate_of_the_client(
    version, serve, connect, http, tls_context, certificates
):
    tls_context.minimum_version = tls_context.maximum_version = ssl.TLSVersion[version]
    tls_context.verify_mode = ssl.CERT_REQUIRED
    tls_context.load_verify_locations(certificates / "authority.pem")
    server = serve(http.echo(), tls_context)
    verify = str(certificates / "authority.pem")
    own = str(certificates / "workstation.pem")
    assert connect(server, verify=verify, cert=own).predict({"x": 1}) == {"x": 1}
    assert connect(server, verify=verify, cert=(own, own)).predict({"x": 1}) == {"x": 1}
    # TLS 1.3 refuses after the handshake: the connection may be gone before the reason is read.
    with pytest.raises(TLSFailed if version == "TLSv1_2" else ConnectionFailed):
        connect(server, verify=verify).predict({"x": 1})
    assert len(server.seen) == 2


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
    assert "while connecting" in str(caught.value)


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


def test_a_host_without_proxy(serve, connect, http, monkeypatch):
    server = serve(http.echo())
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert connect(server).predict({"x": 1}) == {"x": 1}


def test_a_proxy_that_is_not_there(connect, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://user:canary@127.0.0.1:9")
    with pytest.raises(ProxyFailed, match="NO_PROXY") as caught:
        connect("http://model.invalid/m").predict({"x": 1})
    assert "canary" not in str(caught.value)


def test_a_proxy_that_refuses_a_tunnel(serve, connect, monkeypatch):
    def script(peer):
        peer.receive_head()
        peer.send(b"HTTP/1.1 407 Authentication required\r\nContent-Length: 0\r\n\r\n")

    proxy = serve(script)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    with pytest.raises(ProxyFailed):
        connect("https://model.invalid/m", token="canary").predict({"x": 1})
