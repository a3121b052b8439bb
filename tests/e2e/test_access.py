"""Tokens, TLS and the largest body on every engine, as ``eisen-serve run`` starts it."""

from __future__ import annotations

import http.client
import json
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trustme

from eisen_deploy.client import EisenServingClient, RequestTooLarge, TLSFailed, Unauthorized

from .engines import ENGINES
from .running_command import READY, Running

HERE = Path(__file__).resolve().parent
ROWS = np.float32([[1, 2], [3, 4]])
KIB = 2**10
SLOW = 600  # seconds, on a machine with other things to do


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo")
    subprocess.run([sys.executable, HERE / "pack_sampled.py", folder], check=True)
    return folder / "echo.mar"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """PEM files: the certificate, its key, and the authority that clients trust."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    own = authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.RSA)  # what all engines take
    files = [folder / name for name in ("cert.pem", "key.pem", "authority.pem")]
    own.cert_chain_pems[0].write_to_path(files[0])
    own.private_key_pem.write_to_path(files[1])
    authority.cert_pem.write_to_path(files[2])
    return files


@pytest.fixture(scope="module", params=list(ENGINES))
def running(request, archive, certificate, server_python, tmp_path_factory):
    cert, key, authority = certificate
    folder = tmp_path_factory.mktemp("server")
    python = server_python if request.param == "torchserve" else sys.executable
    options = ["--engine", request.param, "--token-auth", "--tls-cert", cert, "--tls-key", key]
    options += ["--max-body", "64KiB", "--folder", folder, "--startup-timeout", SLOW]
    with Running("run", archive, *options, python=python) as command:
        command.until(READY, SLOW)
        command.engine, command.key_file, command.authority = (
            request.param,
            folder / "key_file.json",
            authority,
        )
        yield command


def predict(running, rows=ROWS, **more):
    more = {"verify": str(running.authority), "token": running.key_file, "timeout": 30, **more}
    url = f"https://127.0.0.1:{running.port}/predictions/echo"
    with EisenServingClient(url, retries=0, **more) as client:
        return client.predict({"x": rows})["y"]


def test_with_its_token_and_its_certificate_it_predicts(running):
    np.testing.assert_array_equal(predict(running), 2 * ROWS + 1)
    assert running.key_file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("token", [None, "wrong"])
def test_without_its_token_nobody_gets_an_answer(running, token):
    with pytest.raises(Unauthorized):
        predict(running, token=token)


def test_whoever_does_not_trust_its_certificate_sends_nothing(running):
    with pytest.raises(TLSFailed):
        predict(running, verify=True)


def test_without_tls_there_is_no_answer(running):
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    connection.request("GET", "/ping")
    if running.engine == "torchserve":
        assert connection.getresponse().status == 403
    else:
        with pytest.raises((http.client.HTTPException, OSError)):
            connection.getresponse()
    connection.close()


def test_a_request_over_the_limit_is_refused_and_the_next_one_answered(running):
    with pytest.raises(RequestTooLarge):
        predict(running, np.zeros((64 * KIB // 8, 2), np.float32))
    np.testing.assert_array_equal(predict(running), 2 * ROWS + 1)


def test_a_request_below_the_limit_is_answered(running):
    rows = np.zeros((60 * KIB // 8, 2), np.float32)
    np.testing.assert_array_equal(predict(running, rows), 2 * rows + 1)


def test_probes_need_no_token_except_on_torchserve(running):
    trusted = ssl.create_default_context(cafile=running.authority)
    connection = http.client.HTTPSConnection("127.0.0.1", running.port, timeout=30, context=trusted)
    connection.request("GET", "/ping")
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    if running.engine == "torchserve":
        assert (answer.status, body["type"]) == (400, "InvalidKeyException")
    else:
        assert (answer.status, body) == (200, {"status": "Healthy"})


def test_nothing_is_left_of_one_that_is_killed(running):
    running.process.send_signal(signal.SIGKILL)
    running.process.wait()
    assert running.wait_gone(60)
