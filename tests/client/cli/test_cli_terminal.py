"""``eisen-client`` and a server, files and a model that send what a terminal would obey."""

from __future__ import annotations

import json

import numpy as np
import pytest

from eisen_deploy.client import EisenClientError, EisenServingClient
from eisen_deploy.client.cli import main

EVIL = "\x1b]0;pwn\x07\x9b31m\u202eevil\u2028x\x85\u200b\x7f"
ESCAPED = r"\x1b]0;pwn\x07\x9b31m\u202eevil\u2028x\x85\u200b\x7f"
METADATA = {
    "inputs": [{"name": f"image{EVIL}", "type": "ndarray", "shape": [-1]}],
    "outputs": [
        {"name": f"mask{EVIL}", "type": "ndarray", "shape": [-1]},
        {"name": f"note{EVIL}", "type": "str"},
    ],
    "custom": {f"k{EVIL}": [EVIL]},
}


@pytest.fixture
def server(serve, http):
    """A server whose every word is hostile; ``server.says`` is its answer to a prediction."""

    def script(peer):
        while (request := peer.receive()) is not None:
            text = json.dumps(METADATA, ensure_ascii=False).encode()
            peer.send(server.says if request.body else http.reply(200, body=text))

    server = serve(script)
    server.says = http.error(422, f"Invalid{EVIL}", f"no {EVIL}", problems=[EVIL, f"b\n{EVIL}"])
    return server


@pytest.fixture
def run(server, capsys):
    def call(*arguments):
        status = main([arguments[0], server.url, *map(str, arguments[1:])])
        told = capsys.readouterr()
        assert (told.out + told.err).replace("\n", "").isprintable()
        return status, told.out, told.err

    return call


def test_metadata(run):
    _, out, _ = run("metadata")
    assert f"image{ESCAPED}" in out
    assert f'"k{ESCAPED}"'.replace(r"\x1b", r"\u001b").replace(r"\x07", r"\u0007") in out
    _, out, _ = run("metadata", "--json")
    assert out.isascii()
    assert json.loads(out) == METADATA


def test_check(run):
    for more in ([], ["--json"]):
        _, out, _ = run("check", *more)
        assert "failed" in out or "ok" in out


def test_predict_with_wrong_names(run, tmp_path):
    np.save(tmp_path / "x.npy", np.ones(3, np.float32))
    status, _, err = run("predict", "--input", f"zz{EVIL}={tmp_path}/x.npy", "--json")
    assert status == 2
    assert f"the model has no input zz{ESCAPED}: it takes image{ESCAPED}" in err


def test_a_refused_prediction(run, tmp_path):
    np.save(tmp_path / "x.npy", np.ones(3, np.float32))
    status, _, err = run("predict", "--input", f"image{EVIL}={tmp_path}/x.npy", "--json")
    assert status == 7
    assert "pwn" in err


def test_outputs(run, server, http, tmp_path):
    np.save(tmp_path / "x.npy", np.ones(3, np.float32))
    server.says = http.oip({f"mask{EVIL}": np.ones(2, np.float32), f"note{EVIL}": EVIL})
    status, out, _ = run("predict", "--input", f"image{EVIL}={tmp_path}/x.npy", "--json")
    assert status == 0
    assert json.loads(out)[f"mask{EVIL}"] == [1, 1]
    file = tmp_path / "all.npz"
    status, out, _ = run("predict", "--input", f"image{EVIL}={tmp_path}/x.npy", "--output", file)
    assert status == 0
    assert f"mask{ESCAPED}" in out


@pytest.mark.parametrize("name", ["\x1b[31m.npy", "a\nb.npy", "\u202egnp.npy", "a\u2028b.dcm"])
def test_names_of_files(run, tmp_path, name):
    (tmp_path / name).write_bytes(b"no array")
    status, _, err = run("predict", "--input", f"image{EVIL}={tmp_path / name}", "--json")
    assert status == 3
    assert err.count("\n") == 1


def test_what_exceptions_quote_of_a_server_is_printable(server, http):
    with EisenServingClient(server.url, timeout=5, validate_inputs=True) as client:
        with pytest.raises(EisenClientError) as refused:
            client.predict({"x": 1})  # found here: the message names what the metadata declares
        refused = [refused.value]
        server.says = http.reply(500, {"X-Request-Id": "\x1b[31m"}, b"\x1b[31m")
        with pytest.raises(EisenClientError) as failed:
            client.predict({f"image{EVIL}": np.ones(1, np.float32)})
        refused.append(failed.value)
    with EisenServingClient(server.url, timeout=5) as client:
        server.says = http.error(422, f"Invalid{EVIL}", f"no {EVIL}", problems=[EVIL])
        with pytest.raises(EisenClientError) as failed:
            client.predict({"x": np.ones(1, np.float32)})
        refused.append(failed.value)
    for error in refused:
        texts = [str(error), repr(error), error.server_message or "", error.type or ""]
        texts += [*error.problems, error.request_id or "", error.model or ""]
        assert all(text.isprintable() for text in texts), texts
