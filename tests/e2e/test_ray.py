"""Archives on a real Ray Serve: one by its replicas alone, several behind the router."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import requests

from eisen_deploy.client import EisenServingClient, InvalidInput, ServerFailed, Unauthorized

from .ray_server import RayServer

HERE = Path(__file__).resolve().parent
ROWS = np.float32([[1, 2], [3, 4]])
TOKEN = "a-token"


@pytest.fixture(scope="module")
def zoo(model_zoo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ray") / "zoo"
    shutil.copytree(model_zoo, folder)
    subprocess.run([sys.executable, HERE / "pack_hanging.py", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def server(zoo, tmp_path_factory):
    token_file = tmp_path_factory.mktemp("token") / "token"
    token_file.write_text(TOKEN)
    with RayServer() as server:
        cache = str(server.temporary / "cache")
        common = {"cache": cache, "max_body": "1MiB"}
        several = [str(zoo / "model.mar"), str(zoo / "echo.mar")]
        problem = server.run(
            {
                "/": {"archives": [str(zoo / "model.mar")], "replicas": 2, "cpus": 3, **common},
                "/several": {"archives": several, "token_file": str(token_file), **common},
                "/hanging": {"archives": [str(zoo / "hanging.mar")], **common},
            }
        )
        assert problem is None
        yield server


@contextmanager
def connect(server, path, **options):
    with EisenServingClient(server.url + path, timeout=60, **options) as client:
        yield client


def exchange(server, method, path, body=None, headers=()):
    """Return status, headers and body of an answer."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    try:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def read_error(answer):
    return answer[0], json.loads(answer[2])["type"]


def test_our_client_predicts(server):
    with connect(server, "/predictions/model") as client:
        assert client.get_metadata()["inputs"][0]["name"] == "x"
        outputs = [client.predict({"x": ROWS}) for _ in range(8)]
        assert all(np.array_equal(each["y"], ROWS * 2 + 1) for each in outputs)
        assert outputs[0].model.name == "model"
        with pytest.raises(InvalidInput, match="x: is missing"):
            client.predict({})


def test_a_request_over_the_limit_is_refused(server):
    body = bytes(2**20 + 1)
    for path in ("/predictions/model", "/several/predictions/model"):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = exchange(server, "POST", path, body, headers)
        assert read_error(answer) == (413, "RequestTooLarge")
        assert b"max_body" in answer[2]


def test_the_router_answers_as_a_replica_does(server):
    """The same exchanges by way of the router and without it."""
    json_type = {"Content-Type": "application/json"}
    exchanges = [
        ("POST", "/predictions/model", json.dumps({"x": ROWS.tolist()}), json_type),
        ("POST", "/predictions/model/1.0", b"", {}),
        ("POST", "/v2/models/model/infer", b"{", json_type),
        ("POST", "/predictions/model", b"{}", json_type),
        ("POST", "/predictions/model", json.dumps({"x": [[1e9, 0]]}), json_type),
        (
            "POST",
            "/predictions/model",
            b"--b--",
            {"Content-Type": "multipart/form-data;boundary=b"},
        ),
        ("GET", "/v2/models/model", None, {}),
        ("GET", "/v2/models/model/ready", None, {}),
        ("GET", "/v2", None, {}),
        ("GET", "/v2/health/ready", None, {}),
        ("GET", "/ping", None, {}),
        ("GET", "/metrics", None, {}),
        ("DELETE", "/predictions/model", None, {}),
    ]
    own = ("date", "x-request-id", "server-timing")
    for method, path, body, headers in exchanges:
        alone = exchange(server, method, path, body, headers)
        token = {**headers, "Authorization": f"Bearer {TOKEN}"}
        routed = exchange(server, method, f"/several{path}", body, token)
        for answer in (alone, routed):
            for name in own:
                answer[1].pop(name, None)
        pids = [b'"pid"' in answer[2] for answer in (alone, routed)]
        assert alone[:2] == routed[:2] or any(pids), path
        assert alone[2] == routed[2] or all(pids), path


def test_the_router_serves_each_archive_to_who_has_the_token(server):
    with connect(server, "/several/predictions/echo", token=TOKEN) as client:
        volume = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
        assert np.array_equal(client.predict({"volume": volume})["volume"], volume)
    with (
        connect(server, "/several/predictions/echo", token="another") as client,
        pytest.raises(Unauthorized),
    ):
        client.predict({"volume": volume})
    token = {"Authorization": f"Bearer {TOKEN}"}
    unknown = exchange(server, "POST", "/several/predictions/other", b"", token)
    assert read_error(unknown) == (404, "NotFound")
    assert b"model 1.0, echo 2.1" in unknown[2]
    described = json.loads(exchange(server, "GET", "/several/openapi.json", None, token)[2])
    assert sorted(described["paths"]) == ["/predictions/echo", "/predictions/model"]


def test_a_killed_replica_loses_nothing_that_may_be_sent_again(server):
    wrong, pids = [], set()
    ends = time.monotonic() + 8

    def call(number):
        with connect(server, "/predictions/model") as client:
            while time.monotonic() < ends:
                x = np.full((1, 2), number, np.float32)
                try:
                    outputs = client.predict({"x": x}, idempotent=True)
                    pids.add(outputs["pid"])
                    if not np.array_equal(outputs["y"], x * 2 + 1):
                        wrong.append(outputs["y"])
                except Exception as error:  # noqa: BLE001 - it is compared below
                    wrong.append(error)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    while not pids:
        time.sleep(0.1)
    time.sleep(1)
    os.kill(min(pids), signal.SIGKILL)
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_model_that_hangs_is_answered_and_replaced(server):
    with connect(server, "/hanging/predictions/hanging") as client:
        with pytest.raises(ServerFailed) as caught:
            client.predict({"x": np.float32([-60])})
        assert (caught.value.status, caught.value.type) == (504, "TimedOut")
        client.wait_ready(300)
        assert client.predict({"x": np.float32([0])}, idempotent=True)["y"] == [0]


def test_a_damaged_archive_is_refused_while_the_old_one_answers(server, zoo):
    damaged = bytearray((zoo / "model.mar").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path = zoo / "damaged.mar"
    path.write_bytes(damaged)
    problem = server.run({"/": {"archives": [str(path)]}})
    assert f"BadArchives: {path}: " in problem
    with connect(server, "/predictions/model") as client:
        assert np.array_equal(client.predict({"x": ROWS})["y"], ROWS * 2 + 1)


def test_ray_counts_the_requests_of_all_replicas(server):
    """Some seconds late, since its processes report now and then."""
    wanted = r'ray_eisen_requests_total\{[^}]*ModelName="model"[^}]*Outcome="ok"'
    ends = time.monotonic() + 60
    while not re.search(wanted, requests.get(server.metrics_url, timeout=10).text):
        assert time.monotonic() < ends
        time.sleep(1)
