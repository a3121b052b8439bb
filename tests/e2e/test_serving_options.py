"""Options that travel with a model are those that real servers and our handler use."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from eisen_deploy.client import EisenServingClient, ServerFailed

from .engines import FAILURES, wait_for

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def served_zoo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "model_zoo"
    subprocess.run([sys.executable, HERE / "pack_served.py", folder], check=True)
    return folder


on_torchserve = pytest.mark.parametrize("engine", ["torchserve"], indirect=True)


@pytest.fixture(scope="module")
def server(engine, serve_on, served_zoo):
    names = ("plain", "busy", "eager") if engine == "torchserve" else ("plain", "busy")
    archives = [served_zoo / f"{name}.mar" for name in names]
    return serve_on(engine, *archives, response_timeout=99)


def describe(server, model):
    url = f"{server.server.management_url}/models/{model}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as reply:
        return json.load(reply)[0]


def predict(server, model, *rows, timeout=60.0):
    with EisenServingClient(server.url(model), timeout=timeout) as client:
        return client.predict({"x": np.float32(rows)})


@on_torchserve
def test_torchserve_shows_the_options_of_the_archive(server):
    told = describe(server, "busy")
    assert {key: told[key] for key in ("minWorkers", "maxWorkers", "batchSize")} == {
        "minWorkers": 2,
        "maxWorkers": 2,
        "batchSize": 4,
    }
    assert told["maxBatchDelay"] == 250
    assert told["responseTimeout"] == 2
    assert told["startupTimeout"] == 77
    assert told["deviceType"] == "cpu"
    assert len(told["workers"]) == 2


@on_torchserve
def test_without_options_everything_is_as_the_server_has_it(server):
    told = describe(server, "plain")
    assert told["batchSize"] == 1
    assert told["responseTimeout"] == 99
    assert len(told["workers"]) == 1


@on_torchserve
def test_a_file_with_other_options_hides_the_servers_own_response_timeout(server):
    """TorchServe's doing, and documented: the file counts as 120 s where it does not say."""
    told = describe(server, "eager")
    assert told["responseTimeout"] == 120
    assert told["maxBatchDelay"] == 1
    assert told["minWorkers"] == 1


def test_two_workers_answer(server):
    pids = set()

    def have_both_answered():
        answers = pool.map(lambda _: predict(server, "busy", [0.15, 0]), range(16))
        pids.update(int(answer["pid"][0]) for answer in answers)
        return len(pids) == 2

    with ThreadPoolExecutor(8) as pool:
        wait_for(have_both_answered)
    assert pids == set(server.pids("busy"))


def test_requests_are_batched(server):
    """They come within the delay, so that a worker gets several at once."""
    url = server.url("busy")

    def size(_):
        body = json.dumps({"x": [[0.15, 0]]}).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as reply:
            return int(reply.headers["Server-Timing"].split('batch;desc="')[1].split('"')[0])

    with ThreadPoolExecutor(12) as pool:
        sizes = list(pool.map(size, range(24)))
    assert 1 < max(sizes) <= 4


def test_an_answer_that_would_take_too_long_is_an_error(server):
    with pytest.raises(ServerFailed) as caught:
        predict(server, "busy", [6, 0])
    assert (caught.value.status, caught.value.type) == (504, "TimedOut")
    np.testing.assert_array_equal(predict(server, "plain", [3, 0])["y"], [[7, 1]])


def test_precision_is_applied(engine, serve_on, served_zoo):
    server = serve_on(engine, served_zoo / "precise.mar")
    half = predict(server, "precise", [0.1, 0.2], [0.3, 0.4])["y"]
    assert half.dtype == np.float32
    np.testing.assert_array_equal(half.view(np.uint32) & 0xFFFF, 0)  # bfloat16 has no such bits


def test_compiling_is_applied(serve_on, served_zoo):
    """By the handler, whatever the engine; it takes long, so it is tried on one."""
    server = serve_on("torchserve", served_zoo / "compiled.mar")
    y = predict(server, "compiled", [0.1, 0.2], [0.3, 0.4], timeout=300)["y"]
    assert y.shape == (2, 2)
    assert "torch.compile (default) is used on cpu" in server.log()


@pytest.mark.parametrize("engine", ["torchserve", "uvicorn"], indirect=True)
def test_a_model_that_wants_a_gpu_is_refused_without_a_gpu(engine, serve_on, served_zoo):
    """On Ray it waits for a node that has one."""
    with pytest.raises(FAILURES, match="ask for device cuda, and the server assigns no GPU"):
        serve_on(engine, served_zoo / "wants_gpu.mar")
