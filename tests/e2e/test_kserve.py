"""KServe: our application inside its ModelServer, and what it makes of our health addresses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import requests

from eisen_deploy.client import EisenServingClient, InvalidInput
from eisen_deploy.serving.engines.torchserve.launcher import free_ports

pytest.importorskip("kserve", reason="nox -s kserve runs this")

HERE = Path(__file__).resolve().parent
ROWS = np.float32([[1, 2], [3, 4]])
SEND = {"timeout": 30}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kserve")
    subprocess.run([sys.executable, HERE / "pack_sampled.py", folder], check=True)
    (port,) = free_ports(1)
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, HERE / "kserve_server.py", folder / "seg.mar", str(port)],
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "TMPDIR": str(folder)},
        )
    try:
        yield wait_ready(f"http://127.0.0.1:{port}", server, folder / "log")
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def wait_ready(url, server, log):
    deadline = time.monotonic() + 120
    while True:
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            if requests.get(f"{url}/v2/health/ready", timeout=5).json() == {"ready": True}:
                return url
        except requests.ConnectionError:
            time.sleep(0.3)


def test_our_client_gets_the_models_answer(url):
    with EisenServingClient(f"{url}/predictions/seg", timeout=30) as client:
        np.testing.assert_array_equal(client.predict({"x": ROWS})["y"], 2 * ROWS + 1)


def test_our_errors_reach_the_client_with_their_types(url):
    with (
        EisenServingClient(f"{url}/predictions/seg", timeout=30) as client,
        pytest.raises(InvalidInput, match="expected shape"),
    ):
        client.predict({"x": np.float32([[1, 2, 3]])})
    json_type = {"Content-Type": "application/json"}
    answer = requests.post(f"{url}/v2/models/seg/infer", data=b"{", headers=json_type, **SEND)
    assert (answer.status_code, answer.json()["type"]) == (400, "MalformedBody")
    answer = requests.post(f"{url}/v2/models/seg/infer", data=bytes(2**20 + 1), **SEND)
    assert (answer.status_code, answer.json()["type"]) == (413, "RequestTooLarge")
    assert requests.post(f"{url}/v2/models/other/infer", **SEND).json()["type"] == "NotFound"


def test_an_empty_body_is_the_metadata(url):
    answer = requests.post(f"{url}/v2/models/seg/infer", **SEND)
    assert answer.json()["model_input_list"] == ["x"]


def test_kserves_client_predicts(url):
    """Its requests say ``"parameters": null``."""
    found = subprocess.run(
        [sys.executable, "-c", KSERVE_CLIENT, url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    live, ready, model_ready, name, values, shape = json.loads(found.stdout.splitlines()[-1])
    assert (live, ready, model_ready, name) == (True, True, True, "seg")
    assert (values, shape) == ([3, 5, 7, 9], [2, 2])


KSERVE_CLIENT = """
import asyncio, json, sys
import numpy as np
import kserve

async def main(url):
    client = kserve.InferenceRESTClient(kserve.inference_client.RESTConfig(protocol="v2"))
    tensor = kserve.InferInput("x", [2, 2], "FP32")
    tensor.set_data_from_numpy(np.float32([[1, 2], [3, 4]]), binary_data=True)
    request = kserve.InferRequest("seg", [tensor])
    reply = await client.infer(url, request, model_name="seg")
    y = next(each for each in reply.outputs if each.name == "y").as_numpy()
    asked = [
        await client.is_server_live(url),
        await client.is_server_ready(url),
        await client.is_model_ready(url, "seg"),
    ]
    print(json.dumps([*asked, reply.model_name, y.flatten().tolist(), list(y.shape)]))
    await client.close()

asyncio.run(main(sys.argv[1]))
"""


def test_what_is_not_ours_is_kserves(url):
    assert requests.get(f"{url}/v1/models", **SEND).json() == {"models": ["seg"]}
