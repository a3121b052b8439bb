"""Large bodies on a real server: compression, batches, and the worker's memory."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import requests

from eisen_deploy.client import EisenServingClient
from eisen_deploy.client._shared.wire import protocol
from eisen_deploy.serving.runtime.torchserve.worker_log import INTERVAL

MIB = 2**20
MODELS = (
    '{"echo": {"2.1": {"defaultVersion": true, "marName": "echo.mar", "minWorkers": 1,'
    ' "maxWorkers": 1, "batchSize": 8, "maxBatchDelay": 1000, "responseTimeout": 60}}}'
)
TRITON = """
import sys
import numpy as np
import tritonclient.http as http

address, token = sys.argv[1:]
labels = np.zeros((1, 80, 80, 80), np.float32)
labels[:, 20:40, 20:40, 20:40] = 2
tensor = http.InferInput("volume", labels.shape, "FP32")
tensor.set_data_from_numpy(labels)
for coding in ("gzip", None):
    result = http.InferenceServerClient(address).infer(
        "echo",
        [tensor],
        headers={"Authorization": f"Bearer {token}"},
        response_compression_algorithm=coding,
    )
    assert np.array_equal(result.as_numpy("volume"), labels)
"""


@pytest.fixture(scope="module")
def server(serve, model_zoo):
    limits = dict.fromkeys(["max_request_size", "max_response_size"], str(80 * MIB))
    return serve(model_zoo, ["echo.mar"], {**limits, "models": MODELS})


@pytest.fixture
def post(server):
    """Post a volume with other headers of one's own; gives the answer, its body not yet read."""
    url = f"{server.inference_url}/predictions/echo"
    with requests.Session() as session:
        session.headers = {"Authorization": f"Bearer {server.key()}"}

        def _post(volume, **headers):
            body = protocol.encode_request({"volume": volume})
            headers = {name.replace("_", "-"): value for name, value in headers.items()}
            return session.post(
                url,
                data=b"".join(body.buffers),
                headers={**body.headers, **headers},
                stream=True,
                timeout=60,
            )

        yield _post


def volume_of(answer):
    assert answer.status_code == 200, answer.content
    size = int(answer.headers[protocol.LENGTH_HEADER])
    return protocol.decode_reply(bytearray(answer.content), size).outputs["volume"]


def labels():
    volume = np.zeros((1, 96, 96, 96), np.float32)
    volume[:, 20:60, 20:60, 20:60] = 1
    volume[:, 30:50, 30:40, 30:40] = 3
    return volume


def test_a_label_map_is_compressed_for_clients_that_accept_gzip(post):
    answer = post(labels(), Accept_Encoding="deflate;q=0.5, gzip")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert int(answer.headers["Content-Length"]) < labels().nbytes / 20
    assert "compress;dur=" in answer.headers["Server-Timing"]
    np.testing.assert_array_equal(volume_of(answer), labels())


@pytest.mark.parametrize("accepted", ["identity", "gzip;q=0", "br"])
def test_a_label_map_is_not_compressed_for_other_clients(post, accepted):
    answer = post(labels(), Accept_Encoding=accepted)
    assert "Content-Encoding" not in answer.headers
    assert int(answer.headers["Eisen-Body-Size"]) > labels().nbytes
    np.testing.assert_array_equal(volume_of(answer), labels())


def test_a_large_reply_is_chunked_and_announces_its_size(post):
    noise = np.random.default_rng(1).standard_normal((1, 96, 96, 96)).astype(np.float32)
    answer = post(noise)
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in answer.headers
    np.testing.assert_array_equal(volume_of(answer), noise)
    assert int(answer.headers["Eisen-Body-Size"]) == len(answer.content)


def test_a_client_that_closes_the_connection_gets_a_content_length(post):
    noise = np.random.default_rng(2).standard_normal((1, 96, 96, 96)).astype(np.float32)
    answer = post(noise, Connection="close")
    assert "Transfer-Encoding" not in answer.headers
    assert int(answer.headers["Content-Length"]) > noise.nbytes
    np.testing.assert_array_equal(volume_of(answer), noise)


def test_noise_is_not_compressed_for_any_client(post):
    noise = np.random.default_rng(0).standard_normal((1, 96, 96, 96)).astype(np.float32)
    answer = post(noise, Accept_Encoding="gzip")
    assert "Content-Encoding" not in answer.headers
    np.testing.assert_array_equal(volume_of(answer), noise)


def test_our_client_gets_a_label_map(server):
    url = f"{server.inference_url}/predictions/echo"
    with EisenServingClient(url, token=server.key()) as client:
        np.testing.assert_array_equal(client.predict({"volume": labels()})["volume"], labels())


def test_tritonclient_reads_both(server, make_environment):
    python = make_environment("triton", "numpy", "tritonclient[http]==2.73.0")
    address = server.inference_url.removeprefix("http://")
    subprocess.run([python, "-c", TRITON, address, server.key()], check=True, timeout=120)


@pytest.mark.parametrize("side", [4, 100])
def test_in_a_batch_of_eight_each_gets_its_own_volume(post, side):
    """In one frame: replies that are sent with their neighbours, and such that go alone."""
    gate = Barrier(8)
    volumes = [
        np.full((rows, side, side, 3), value, np.float32)
        for value, rows in enumerate([1, 2, 1, 3, 1, 1, 2, 1])
    ]

    def _together(volume):
        gate.wait()
        return post(volume)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(_together, volumes))
    for volume, answer in zip(volumes, answers, strict=True):
        np.testing.assert_array_equal(volume_of(answer), volume)
    sizes = {answer.headers["Server-Timing"].partition('batch;desc="')[2] for answer in answers}
    assert sizes == {'8"'}


def worker_of(server):
    answer = requests.get(
        f"{server.management_url}/models/echo",
        headers={"Authorization": f"Bearer {server.key('management')}"},
        timeout=30,
    )
    return Path("/proc", str(answer.json()[0]["workers"][0]["pid"]))


def memory(process, name):
    lines = (process / "status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_worker_takes_no_memory_but_a_body_s(post, server):
    """An echo has the body as its output: one body in all, where 3 and the reply are allowed."""
    volume = np.random.default_rng(0).standard_normal((1, 64, 512, 512)).astype(np.float32)
    worker = worker_of(server)
    volume_of(post(volume[:, :1]))
    idle = memory(worker, "VmRSS")
    for _ in range(3):
        (worker / "clear_refs").write_text("5")  # the peak begins anew
        np.testing.assert_array_equal(volume_of(post(volume)), volume)
        assert volume.nbytes / 2 < memory(worker, "VmHWM") - idle < 1.5 * volume.nbytes
        assert memory(worker, "VmRSS") - idle < volume.nbytes / 2


def test_the_worker_s_log_names_no_fallback(server):
    text = server.log_path.read_text("utf-8")
    assert "bodies are copied" not in text
    assert "Backend worker process died" not in text


def test_the_worker_writes_no_lines_for_each_request(post, server):
    """TorchServe reads each of them, which a small request waits for."""
    volume = np.zeros((1, 2, 2, 2), np.float32)
    before, start = server.log_path.read_text("utf-8"), time.monotonic()
    with ThreadPoolExecutor(8) as pool:  # as many as a batch takes: it waits for no more
        list(pool.map(lambda _: volume_of(post(volume)), range(240)))
    seconds = time.monotonic() - start
    assert seconds < 15, "no more batches than lines that are allowed"
    new = server.log_path.read_text("utf-8")[len(before) :]
    assert new.count("Backend received inference") <= 1 + seconds / INTERVAL
