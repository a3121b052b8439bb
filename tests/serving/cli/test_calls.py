"""Addresses, answers and tokens of servers, as every part of ``eisen_deploy.serving`` sees them."""

from __future__ import annotations

import http.server
import socket
import threading
import time

import pytest

from eisen_deploy.serving.doctor.facts.probes import takes_body
from eisen_deploy.serving.engines.keys import Keys, read_keys
from eisen_deploy.serving.engines.torchserve.calls import (
    Endpoint,
    ServerCalls,
    Worker,
    ask,
    ask_workers,
)

KEYS = '{"management": {"key": "m"}, "inference": {"key": "i"}, "API": {"key": "a"}}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (KEYS, Keys("i", "m")),
        ("a-token\n", Keys("a-token")),
        ("12345678", Keys("12345678")),
        (KEYS[:30], Keys()),
        ("", Keys()),
    ],
)
def test_tokens_in_files(tmp_path, text, expected):
    path = tmp_path / "key_file.json"
    path.write_text(text)
    assert read_keys(path) == expected


def test_a_server_without_a_key_file_wants_no_tokens(tmp_path):
    server = ServerCalls("http://127.0.0.1:1", "http://127.0.0.1:2", tmp_path)
    assert server.keys == Keys()
    (tmp_path / "key_file.json").write_text(KEYS)
    assert server.keys == Keys("i", "m")


@pytest.mark.parametrize("url", ["ftp://host", "http://", "http://host:0x50", "http://host:70000"])
def test_addresses_that_are_none(url):
    with pytest.raises(ValueError, match=r"(?i)port|expected"):
        Endpoint.parse(url)


def test_addresses():
    assert Endpoint.parse("localhost:8080") == Endpoint("http", "localhost", 8080)
    assert str(Endpoint.parse("https://[::1]:8443/x")) == "https://[::1]:8443"
    assert Endpoint.parse("https://host").port == 443


def test_a_server_that_never_answers_is_left_after_the_deadline():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = Endpoint("http", "127.0.0.1", silent.getsockname()[1])
        assert ask(endpoint, "GET", "/ping", timeout=0.2).reason == "no answer in 0.2 s"
        assert takes_body(endpoint, 1, timeout=0.2) is None


@pytest.fixture
def answer():
    """Answer with chunks and pauses: ``answer(*chunks, pause) -> (Endpoint, requests)``."""
    servers, seen = [], []

    def _answer(*chunks, pause=0.0):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                seen.append((self.path, dict(self.headers), self._body()))
                self.send_response(418)
                self.end_headers()
                for chunk in chunks:
                    self.wfile.write(chunk)
                    time.sleep(pause)

            do_GET = do_POST  # noqa: N815

            def _body(self):
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))

            def log_message(self, *_):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass  # the client does not read to the end

        server = Quiet(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return Endpoint("http", "127.0.0.1", server.server_address[1]), seen

    yield _answer
    for server in servers:
        server.shutdown()
        server.server_close()


def test_body_headers_and_token_are_sent_and_the_answer_is_read_whatever_it_is(answer):
    endpoint, seen = answer(b'{"type":', b' "Teapot"}')
    got = ask(endpoint, "POST", "/predictions/m/1", b"abc", {"X-One": "1"}, token="t")
    assert (got.status, got.kind, got.reason) == (418, "Teapot", "")
    ((path, headers, body),) = seen
    assert (path, body, headers["X-One"]) == ("/predictions/m/1", b"abc", "1")
    assert headers["Authorization"] == "Bearer t"


def test_of_a_large_answer_the_beginning_is_read_with_its_status(answer):
    endpoint, _ = answer(*[bytes(2**20)] * 6)
    got = ask(endpoint, "GET", "/")
    assert (got.status, len(got.body) >> 20) == (418, 4)


def test_an_answer_that_drips_is_left_after_the_deadline(answer):
    endpoint, _ = answer(*[b"x"] * 100, pause=0.1)
    start = time.monotonic()
    assert ask(endpoint, "GET", "/", timeout=0.3).reason == "no end of the answer in 0.6 s"
    assert time.monotonic() - start < 3


def test_a_token_that_is_no_header_is_no_answer(answer):
    endpoint, seen = answer(b"")
    assert ask(endpoint, "GET", "/", token="a\nb").status == 0
    assert seen == []


@pytest.mark.parametrize(
    ("body", "workers"),
    [
        (
            b'[{"workers": [{"id": "9000", "status": "READY", "pid": 7}]}]',
            [Worker("9000", "READY", 7)],
        ),
        (b'[{"workers": [{"id": "9000"}]}]', None),
        (b'[{"workers": []}]', []),
        *((body, None) for body in (b"", b"[]", b"{}", b'[{"workers": 1}]', b"[1]", b"no JSON")),
    ],
)
def test_what_management_says_of_workers(answer, body, workers):
    endpoint, _ = answer(body)
    assert ask_workers(endpoint, "seg/1.0") == workers
