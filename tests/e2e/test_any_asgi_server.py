"""The application on a server that nobody supervises, as any ASGI server starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import requests

from eisen_deploy.client import EisenServingClient, RequestTooLarge, ServerFailed, Unauthorized
from eisen_deploy.serving.asgi import make_application
from eisen_deploy.serving.engines.model_thread import HUNG
from eisen_deploy.serving.engines.torchserve.launcher import free_ports

from .engines import wait_for

HERE = Path(__file__).resolve().parent


@pytest.fixture
def server(tmp_path):
    """``uvicorn --factory`` with ``hanging.mar``: its process and its URL."""
    subprocess.run([sys.executable, HERE / "pack_hanging.py", tmp_path], check=True)
    (tmp_path / "token").write_text("secret")
    (tmp_path / "tmp").mkdir()
    (port,) = free_ports(1)
    variables = {
        "EISEN_ARCHIVE": str(tmp_path / "hanging.mar"),
        "EISEN_TOKEN_FILE": str(tmp_path / "token"),
        "EISEN_MAX_BODY": "1kB",
        "TMPDIR": str(tmp_path / "tmp"),
    }
    factory = "eisen_deploy.serving.asgi:make_application"
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "--factory", factory, "--port", str(port)],
        env={**os.environ, **variables},
        start_new_session=True,
    )
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def is_ready(process, url):
    assert process.poll() is None
    try:
        return requests.get(f"{url}/v2/health/ready", timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


def test_it_serves_and_ends_where_its_model_hangs(server):
    process, url = server
    wait_for(lambda: is_ready(process, url), 120)
    client = EisenServingClient(f"{url}/predictions/hanging", retries=0)
    with client, pytest.raises(Unauthorized):
        client.predict({"x": np.float32([0])})
    with EisenServingClient(f"{url}/predictions/hanging", retries=0, token="secret") as client:
        assert client.predict({"x": np.float32([0])})["y"] == 0
        with pytest.raises(RequestTooLarge, match="EISEN_MAX_BODY"):
            client.predict({"x": np.zeros(1000, np.float32)})
        with pytest.raises(ServerFailed) as caught:
            client.predict({"x": np.float32([-60])})
    assert caught.value.status == 504
    assert process.wait(30) == HUNG


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "EISEN_ARCHIVE: set it"),
        ({"EISEN_ARCHIVE": "a", "EISEN_QUEUE": "many"}, "EISEN_QUEUE: expected a number"),
        ({"EISEN_ARCHIVE": "a", "EISEN_MAX_BODY": "much"}, "EISEN_MAX_BODY: expected a size"),
    ],
)
def test_variables_that_make_no_sense_are_named(monkeypatch, variables, message):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        make_application()
