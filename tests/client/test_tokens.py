"""A token in a file: read at each use, in the forms that people and TorchServe write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eisen_deploy.client import Unauthorized

KEY_FILE = {
    "management": {"key": "not-this", "expiration time": "2026-01-01T00:00:00Z"},
    "inference": {"key": "the-key", "expiration time": "2026-01-01T00:00:00Z"},
    "API": {"key": "nor-this"},
}


@pytest.mark.parametrize(
    "content",
    [
        b"the-key",
        b"the-key\n",
        b"the-key\r\n",
        b"  the-key \n\n",
        b"\xef\xbb\xbfthe-key\r\n",
        "the-key\r\n".encode("utf-16"),
        json.dumps(KEY_FILE).encode(),
        json.dumps(KEY_FILE, indent=2).encode("utf-16"),
    ],
    ids=repr,
)
def test_the_forms_of_the_file(content, tmp_path, serve, connect, http):
    file = tmp_path / "key"
    file.write_bytes(content)
    server = serve(http.echo())
    connect(server, token=file).predict({"x": 1})
    assert server.seen[0].headers["authorization"] == "Bearer the-key"


def test_the_file_is_read_for_each_request(tmp_path, serve, connect, http):
    file = tmp_path / "key"
    server = serve(http.echo())
    client = connect(server, token=file)  # it need not be there yet
    for key in ("first", "second"):
        file.write_text(key)
        client.predict({"x": 1})
    sent = [request.headers["authorization"] for request in server.seen]
    assert sent == ["Bearer first", "Bearer second"]


def test_a_file_that_is_renewed_meanwhile_is_read_again(tmp_path, serve, connect, http):
    file = tmp_path / "key"
    file.write_text("old")

    def script(peer):
        while (request := peer.receive()) is not None:
            if request.headers["authorization"] == "Bearer old":
                file.write_text("new")
                peer.send(http.error(400, "InvalidKeyException", "Token expired"))
            else:
                peer.send(http.oip({"y": 1}))

    server = serve(script)
    assert connect(server, token=file).predict({"x": 1}) == {"y": 1}
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"two canaries",
        b"canary\ncanary",
        b"\xff\x00canary",
        b"{canary",
        b'{"inference": "canary"}',
        b'{"inference": {"key": 5}}',
        b'{"management": {"key": "canary"}}',
        b"x" * 100_000 + b" canary",
    ],
    ids=lambda content: repr(content[:40]),
)
def test_a_file_without_a_token(content, tmp_path, serve, connect, http):
    file = tmp_path / "canary"
    file.write_bytes(content)
    server = serve(http.echo())
    if content.startswith(b"xxx"):  # a word that is cut is still a word
        connect(server, token=file).predict({"x": 1})
        assert len(server.seen[0].headers["authorization"]) < 66_000
        return
    with pytest.raises(Unauthorized, match=r"key_file\.json") as caught:
        connect(server, token=file, retries=3).predict({"x": 1})
    assert (caught.value.executed, caught.value.stage) == (False, "preparing")
    assert "canary" not in str(caught.value) + repr(caught.value)
    assert server.connections == 0


def test_a_file_that_cannot_be_read(tmp_path, serve, connect, http):
    for path in (tmp_path / "canary", tmp_path):
        with pytest.raises(Unauthorized, match=r"cannot be read: \w+") as caught:
            connect(serve(http.echo()), token=path).predict({"x": 1})
        assert str(tmp_path) not in str(caught.value)


def test_a_str_is_the_token_itself(serve, connect, http):
    server = serve(http.echo())
    connect(server, token=str(Path("key_file.json"))).predict({"x": 1})
    assert server.seen[0].headers["authorization"] == "Bearer key_file.json"
