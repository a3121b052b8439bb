"""What is secret or a patient's appears nowhere: no log, no error, no repr, no file.

The root logger listens at DEBUG, and a canary stands in everything that this client is given or
answered and that is no name of an input or a model.
"""

from __future__ import annotations

import io
import logging
import tempfile
import traceback
import warnings
from contextlib import contextmanager
from itertools import product

import numpy as np
import pytest
import requests

from eisen_deploy.client import Cancellation, EisenClientError, EisenServingClient, Retries

CANARY = "cAnArY"
BATCHES = [
    {"x": CANARY, "y": {CANARY: [CANARY]}},
    {"x": np.frombuffer(CANARY.encode() * 4, np.uint8), "y": np.array([CANARY])},
    {"x": np.array([object()]), "y": {5: CANARY}},
    {"x": [float("nan"), CANARY]},
]
METADATA = {
    "inputs": [
        {"name": "x", "type": "str", "shape": [CANARY]},
        {"name": "y", "type": CANARY, "shape": CANARY, CANARY: CANARY},
    ],
    "outputs": CANARY,
    "custom": {CANARY: CANARY},
}


def scripts(http):
    """Return what servers do, good and bad."""
    page = CANARY.encode()
    odd = f"HTTP/1.1 200 {CANARY}\r\n".encode()
    answers = {
        "ok": http.oip({"z": CANARY}, {"X-Other": CANARY, "Set-Cookie": f"{CANARY}={CANARY}"}),
        "page": http.reply(200, {"Content-Type": "text/html"}, page),
        "garbage": page * 20,
        "status": f"HTTP/1.1 {CANARY} \r\n\r\n".encode(),
        "line": b"HTTP/1.1 200 " + page * 20_000,
        "no colon": odd + page + b"\r\nX: y\r\n\r\n",
        "folded": odd + b"X: y\r\n " + page + b"\r\nContent-Length: 0\r\n\r\n",
        "spaced": odd + page + b" : " + page + b"\r\nContent-Length: 2\r\n\r\n{}",
        "length": http.reply(200, {"Content-Length": CANARY}),
        "encoding": http.reply(200, {"Content-Encoding": CANARY}),
        "json length": http.reply(200, {"Inference-Header-Content-Length": CANARY}, page),
        "both lengths": odd + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"
        b"2\r\n{}\r\n0\r\n\r\n",
        "chunk": odd + b"Transfer-Encoding: chunked\r\n\r\n" + page + b"\r\n",
        "json": http.reply(200, body=b'{"outputs": [{"name": "' + page + b'"}]}'),
        "redirect": http.reply(302, {"Location": f"http://{CANARY}@host/?{CANARY}"}),
        "busy": http.reply(503, {"Retry-After": CANARY, "X-Request-Id": f"{CANARY} x"}, page),
        "error": http.reply(500, {"Content-Type": "application/json"}, page),
        "typed": http.error(500, "ModelFailed", "raised", other=CANARY),
        "wrong token": http.error(400, "InvalidKeyException", "expired"),
        "too large": http.reply(413, body=page),
        "nothing": b"",
        "cut off": http.oip({"z": CANARY})[:-3],
    }
    return {name: http.once(answer) for name, answer in answers.items()}


@pytest.fixture
def logged():
    """All that is logged in the process, in full."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s %(pathname)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


@contextmanager
def no_canary(client):
    """Look at what is raised inside."""
    try:
        yield
    except EisenClientError as error:
        told = [str(error), repr(error), repr(vars(error)), repr(client)]
        told += traceback.format_exception(type(error), error, error.__traceback__)
        assert CANARY not in "".join(told)
        return
    assert CANARY not in repr(client)


def clients(server, tmp_path):
    """Make clients with a secret in all places that take one."""
    token = tmp_path / CANARY
    token.write_text(CANARY)
    port, path = server.port, "predictions/m"
    retries = Retries(1, first_delay=0.001)
    queried = f"http://127.0.0.1:{port}/{path}?{CANARY}={CANARY}#{CANARY}"
    yield EisenServingClient(queried, token=token, retries=retries, timeout=5)
    user = f"http://{CANARY}:{CANARY}@127.0.0.1:{port}/{path}?{CANARY}"
    yield EisenServingClient(user, retries=retries, timeout=5, max_reply=10**6)
    yield EisenServingClient(queried, True, token=lambda: CANARY, retries=retries, timeout=5)


@pytest.mark.slow  # a second or two
def test_over_hundreds_of_calls_nothing_leaks(
    serve, http, logged, tmp_path, monkeypatch, capfd, recwarn
):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    server, calls = serve(http.echo(METADATA)), 0
    for name, script in {"echo": http.echo(METADATA), **scripts(http)}.items():
        server.script = script
        for client, batch in product(clients(server, tmp_path), BATCHES):
            ways = (client.predict, client.get_metadata)
            for way, arguments in zip(ways, ((batch,), ())):
                with no_canary(client):
                    way(*arguments)
                calls += 1
            with no_canary(client):
                list(client.predict_many([batch] * 2, return_errors=True))
            calls += 2
            client.close()
        assert CANARY not in logged.getvalue(), name
    assert calls >= 400
    assert "request " in logged.getvalue()
    assert "".join(capfd.readouterr()).count(CANARY) == 0
    assert [warning for warning in recwarn if CANARY in str(warning.message)] == []
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_failures_before_a_request_leak_nothing(
    scheme, serve, http, logged, tmp_path, monkeypatch, tls_context, certificates
):
    server = serve(http.echo(), tls_context)
    proxy = serve(lambda peer: (peer.receive_head(), peer.send(b"HTTP/1.1 407 cAnArY\r\n\r\n")))
    folder = str(tmp_path / CANARY)
    hosts = [f"127.0.0.1:{server.port}", "127.0.0.1:9", f"127.0.0.2:{server.port}", "h.invalid"]
    trusts = [True, folder, str(certificates / "authority.pem"), str(certificates / "stranger.pem")]
    proxies = ["", f"http://{CANARY}:{CANARY}@127.0.0.1:{proxy.port}", f"http://{CANARY}@[::1]:9"]
    for host, verify, through in product(hosts, trusts, proxies):
        monkeypatch.setenv("HTTP_PROXY", through)
        monkeypatch.setenv("HTTPS_PROXY", through)
        url = f"{scheme}://{host}/m?{CANARY}"
        options = {"token": CANARY, "verify": verify, "timeout": 5, "retries": 0}
        with no_canary(None), EisenServingClient(url, **options) as client:
            client.predict({"x": CANARY})
    assert CANARY not in logged.getvalue()


def test_cancelled_and_late_calls_leak_nothing(serve, logged):
    server = serve(lambda peer: (peer.receive(), peer.wait_for_close()))
    cancel = Cancellation()
    with EisenServingClient(f"{server.url}?{CANARY}", token=CANARY) as client:
        with no_canary(client):
            client.predict({"x": CANARY}, timeout=0.05)
        with no_canary(client):
            client.wait_ready(0.05)
        cancel.cancel()
        with no_canary(client):
            client.predict({"x": CANARY}, cancel=cancel)
    assert CANARY not in logged.getvalue()


def test_a_failing_token_function_is_not_logged(serve, http, logged):
    def read():
        raise LookupError(CANARY)

    client = EisenServingClient(serve(http.echo()).url, token=read)
    with pytest.raises(LookupError):
        client.predict({"x": 1})
    assert CANARY not in logged.getvalue()


# --- what is logged -----------------------------------------------------------------------


def test_each_attempt_is_logged(serve, connect, http, caplog):
    answers = [http.error(503, "ServiceUnavailableException", "busy"), http.oip({"y": 1})]

    def script(peer):
        while peer.receive() is not None:
            peer.send(answers.pop(0))

    server = serve(script)
    caplog.set_level(logging.DEBUG, "eisen_deploy.client")
    connect(server, retries=Retries(1, first_delay=0)).predict({"x": np.zeros((2, 3), "f4")})
    texts = [r.getMessage() for r in caplog.records if r.name == "eisen_deploy.client"]
    id_, size = server.seen[0].headers["x-request-id"], len(server.seen[0].body)
    sent = f"request {id_}: {size} bytes to {server.url} (x: float32 [2, 3], 24 bytes)"
    assert texts[0] == texts[3] == sent
    assert texts[1].startswith(f"request {id_}: ServerBusy (status 503) after 0.")
    assert texts[2] == f"request {id_}: again in 0.00 s"
    assert texts[4].startswith(f"request {id_}: answered with ")
    assert {record.levelname for record in caplog.records} == {"DEBUG"}


def test_others_who_use_urllib3_are_not_silenced(serve, connect, http, logged):
    server = serve(http.echo())
    with connect(server) as client:
        client.predict({"x": 1})
        assert "urllib3" not in logged.getvalue()
        requests.post(f"{server.url}?other", data=b"", timeout=5)
    assert "urllib3.connectionpool DEBUG" in logged.getvalue()
    assert "?other" in logged.getvalue()


def test_without_the_filter_the_canaries_would_be_found(serve, http, logged):
    """Else the tests above show nothing."""
    odd = f"HTTP/1.1 200 OK\r\n{CANARY}\r\nContent-Length: 0\r\n\r\n".encode()
    with warnings.catch_warnings():
        requests.post(f"{serve(http.once(odd)).url}", data=b"", timeout=5)
    assert CANARY in logged.getvalue()
