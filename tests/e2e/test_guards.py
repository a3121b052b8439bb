"""What would end a worker of a real server is answered, by the same worker."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .engines import wait_for

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from pack_guarded import (  # noqa: E402 - the orders that its model takes
    BARE,
    CRASH,
    ENDLESS,
    ENDLESS_MODEL,
    SWALLOWING,
    THREADS,
)

STOCK = 6_553_500  # of TorchServe
NPY_HEAD = 128
#: What sets the limit of a reply, in the words of each engine.
SETTING = {
    "torchserve": f"max_response_size is {STOCK} (config.properties)",
    "uvicorn": f"the server's --max-body is {STOCK}",
    "ray": f"the server's max_body is {STOCK}",
}


@pytest.fixture(scope="module")
def server(engine, serve_on, tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded") / "model_zoo"
    subprocess.run([sys.executable, HERE / "pack_guarded.py", folder], check=True)
    archives = [folder / f"{name}.mar" for name in ("guarded", "collecting")]
    # Nothing about limits on TorchServe: those of the stock configuration hold.
    limits = {} if engine == "torchserve" else {"max_body": STOCK}
    return serve_on(engine, *archives, **limits)


def fetch(request):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def post(server, order, model="guarded", accept="application/x-npy"):
    headers = {"Content-Type": "application/json", "Accept": accept}
    body = json.dumps({"x": [order]}).encode()
    return fetch(urllib.request.Request(server.url(model), body, headers))


def pid_of(server, model="guarded"):
    (pid,) = server.pids(model)
    return pid


@pytest.fixture
def same_worker(server):
    """The worker before a test is the one after it, and still answers."""
    before = pid_of(server)
    yield
    status, body = post(server, 1000)
    assert (status, len(body)) == (200, NPY_HEAD + 1000)
    assert pid_of(server) == before


def test_a_reply_of_exactly_the_stock_limit_passes(server, same_worker):
    status, body = post(server, STOCK - NPY_HEAD)
    assert (status, len(body)) == (200, STOCK)


@pytest.mark.parametrize("more", [1, 10**7])
def test_a_reply_over_the_stock_limit_is_a_typed_error(server, engine, same_worker, more):
    status, body = post(server, STOCK - NPY_HEAD + more)
    told = json.loads(body)
    assert (status, told["type"]) == (413, "ReplyTooLarge")
    assert f"has {STOCK + more} bytes" in told["message"]
    assert SETTING[engine] in told["message"]


@pytest.mark.parametrize(
    ("order", "stage"),
    [
        (ENDLESS, "pre_process"),
        (SWALLOWING, "pre_process"),
        (BARE, "pre_process"),
        (ENDLESS_MODEL, "inference"),
    ],
)
def test_what_never_ends_is_answered_before_the_server_ends_the_worker(
    server, engine, same_worker, order, stage
):
    status, body = post(server, order)
    told = json.loads(body)
    assert (status, told["type"]) == (504, "TimedOut")
    assert told["message"].startswith(f"{stage} was not done within the time for a batch: 3 s")
    setting = "responseTimeout" if engine == "torchserve" else "the response timeout"
    assert f"{setting} is 4 s" in told["message"]


def test_requests_behind_it_in_the_batch_may_be_sent_again(server):
    with ThreadPoolExecutor(4) as pool:
        orders = [ENDLESS, 5, 6, 7]
        answers = list(pool.map(lambda order: post(server, order, "collecting"), orders))
    told = [json.loads(body)["type"] for status, body in answers if status != 200]
    assert set(told) <= {"TimedOut", "NotExecuted"}
    assert answers[0][0] == 504
    assert len(post(server, 5, "collecting")[1]) == NPY_HEAD + 5


def test_an_option_sets_the_threads_of_a_worker(server):
    status, body = post(server, THREADS, accept="application/json")
    assert (status, json.loads(body)) == (200, {"y": [3]})


def metrics(server):
    """Return the metrics of a worker: the value by name and labels."""
    starts = ("eisen_", "PredictionTime{")
    lines = [line for line in server.metrics("guarded").splitlines() if line.startswith(starts)]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def metrics_with(server, *parts):
    """Wait for a metric whose name and labels hold all of these."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = [value for name, value in metrics(server).items() if all(p in name for p in parts)]
        if found:
            return found[0]
        time.sleep(0.5)
    raise AssertionError(f"no metric with {parts}: {metrics(server)}")


def test_prometheus_finds_the_numbers(server, engine):
    post(server, 1000)
    post(server, STOCK)
    model = 'ModelName="guarded",ModelVersion="1.0"'
    assert metrics_with(server, "eisen_requests_total", model, 'Outcome="ok"') >= 1
    assert metrics_with(server, "eisen_requests_total", model, 'Outcome="ReplyTooLarge"') >= 1
    for stage in ("decode", "pre_process", "inference", "post_process", "encode"):
        assert metrics_with(server, "eisen_stage_seconds_total", model, f'Stage="{stage}"') >= 0
    assert metrics_with(server, "eisen_batches_total", model, 'Size="1"') >= 2
    assert metrics_with(server, "eisen_request_bytes_total", model) > 20
    assert metrics_with(server, "eisen_reply_bytes_total", model) > 1000
    if engine != "torchserve":
        return
    assert metrics_with(server, "eisen_worker_memory_bytes", model, "Worker=") > 50 * 2**20
    assert metrics_with(server, "PredictionTime", 'ModelName="guarded"') > 0  # TorchServe's own


def test_a_crash_leaves_a_trace_in_the_log(server, engine):
    """The last one here: this worker does not survive."""
    (before,) = server.pids("guarded")
    if engine == "torchserve":
        assert post(server, CRASH)[0] == 500
        server.server.wait_ready("guarded")
        log = server.log()
        serving = [line for line in log.splitlines() if "serves guarded" in line]
        assert len({line.split("worker ")[1].split()[0] for line in serving}) == 2
        assert server.pids("guarded") != [before]
    else:
        if engine == "ray":
            assert post(server, CRASH)[0] == 502
        else:
            with pytest.raises(http.client.RemoteDisconnected):
                post(server, CRASH)
        wait_for(lambda: "in forward" in server.log())
        log = server.log()
    assert "Fatal Python error: Segmentation fault" in log
    assert "in forward" in log
