"""Numbers for TorchServe's metrics: what is counted, and the lines that are printed."""

from __future__ import annotations

import json
import logging
import re
import threading
import time

import pytest
import torch

from eisen_deploy.serving.runtime.answering.limits import Limits
from eisen_deploy.serving.runtime.answering.pipeline import answer
from eisen_deploy.serving.runtime.messages import Request
from eisen_deploy.serving.runtime.torchserve import metrics
from eisen_deploy.serving.runtime.torchserve.metrics import GROWTH_BYTES, MemoryGrowth, Metrics

# TorchServe 0.12: WorkerLifeCycle.ReaderThread.METRIC_PATTERN, then Metric.PATTERN.
LINE = re.compile(r"^(INFO > )?(\[METRICS])(.*)")
METRIC = re.compile(
    r"\s*([\w\s]+)\.([\w\s]+):([0-9\-,.e]+)\|#([^|]*)(\|#type:([^|,]+))?"
    r"\|#hostname:([^,]+),([^,]+)(,(.*))?"
)


def read(lines):
    """Read lines as TorchServe does: value and unit by name and dimensions."""
    found = {}
    for line in lines:
        name, unit, value, dimensions, _, kind = METRIC.fullmatch(LINE.match(line)[3]).groups()[:6]
        pairs = dict(pair.split(":") for pair in dimensions.split(","))
        assert pairs.pop("ModelName") == "seg"
        assert pairs.pop("ModelVersion") == "1.0"
        found[(name, *pairs.values())] = float(value)
        assert unit in ("Count", "Seconds", "Bytes")
        assert (kind == "GAUGE") is (name == "eisen_worker_memory_bytes")
    return found


@pytest.fixture
def lines():
    return []


@pytest.fixture
def counters(lines):
    made = Metrics(("seg", "1.0"), lines.append)
    made._thread = threading.current_thread()  # reports when a test asks for it
    return made


def test_counters_report_what_they_gained(counters, lines, monkeypatch):
    monkeypatch.setattr("sys.argv", ["worker.py", "--sock-name", "/tmp/.ts.sock.9000"])
    counters.count([("ok", 10, 100), ("InvalidInput", 20, 50)], {"decode": 0.5, "inference": 1.25})
    counters.count([("ok", 1, 2)], {"decode": 0.25})
    counters.report()
    found = read(lines)
    assert found.pop(("eisen_worker_memory_bytes", "9000")) > 2**20
    assert found == {
        ("eisen_requests_total", "ok"): 2,
        ("eisen_requests_total", "InvalidInput"): 1,
        ("eisen_batches_total", "2"): 1,
        ("eisen_batches_total", "1"): 1,
        ("eisen_stage_seconds_total", "decode"): 0.75,
        ("eisen_stage_seconds_total", "inference"): 1.25,
        ("eisen_request_bytes_total",): 31,
        ("eisen_reply_bytes_total",): 152,
    }


def test_reported_numbers_are_not_reported_again(counters, lines):
    counters.count([("ok", 1, 2)], {})
    counters.report()
    lines.clear()
    counters.report()
    assert [name for name, *_ in read(lines)] == ["eisen_worker_memory_bytes"]


@pytest.mark.parametrize("value", [1e-7, 3e22, 0.1 + 0.2])
def test_numbers_have_a_form_that_the_server_reads(counters, lines, value):
    counters.count([("ok", 0, 0)], {"encode": value})
    counters.report()
    assert read(lines)["eisen_stage_seconds_total", "encode"] == pytest.approx(value, abs=1e-6)


def test_the_last_numbers_are_printed_when_no_request_follows(lines):
    counters = Metrics(("seg", "1.0"), lines.append, interval=0.01)
    counters.count([("ok", 1, 2)], {})
    deadline = time.monotonic() + 30
    while not lines and time.monotonic() < deadline:
        time.sleep(0.01)
    assert read(list(lines))["eisen_requests_total", "ok"] == 1


def test_a_line_is_printed_as_torchserve_prints_its_own(caplog):
    with caplog.at_level(logging.INFO, "ts"):
        metrics.print_line("[METRICS]a.Count:1|#b:c|#type:COUNTER|#hostname:h,1")
    assert caplog.messages == ["[METRICS]a.Count:1|#b:c|#type:COUNTER|#hostname:h,1"]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["worker.py", "--sock-type", "tcp", "--port", "9003", "--metrics-config", "m"], "9003"),
        (["w", "--sock-type", "unix", "--sock-name", "/tmp/.ts.sock.9001"], "9001"),
    ],
)
def test_workers_are_distinguished_as_torchserve_does(arguments, name):
    assert metrics.worker_name(arguments) == name


def test_memory_is_read_from_linux(tmp_path):
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmPeak:\t  9 kB\nVmHWM:\t   30 kB\nVmRSS:\t   20 kB\n")
    assert metrics.memory_bytes(status) == (20 * 1024, 30 * 1024)
    assert metrics.memory_bytes(tmp_path / "nowhere") is None
    status.write_text("Name:\tpython\n")
    assert metrics.memory_bytes(status) is None


# --- a worker that grows -------------------------------------------------------------------

GIB = 2**30


def grow(caplog, *steps):
    """Return how often growth was reported: for steps of (requests, memory held in GiB)."""
    growth = MemoryGrowth()
    caplog.clear()
    for requests, held in steps:
        growth.requests = requests
        growth.look_at(int(held * GIB), int(held * GIB))
    return len(caplog.messages)


def test_growth_is_reported_once_for_each_half_more(caplog):
    assert grow(caplog, (100, 2), (200, 2.9), (300, 3.1), (400, 3.2), (500, 4.7)) == 2
    assert "holds 4812 MiB after 500 requests, and held at most 3174 MiB before" in caplog.text


def test_what_the_first_requests_need_is_no_growth(caplog):
    assert grow(caplog, (1, 1), (50, 9), (99, 20), (150, 20), (200, 21)) == 0


def test_growth_of_a_small_worker_is_reported_when_it_matters(caplog):
    small = 2**28 / GIB
    more = GROWTH_BYTES / GIB
    assert grow(caplog, (100, small), (200, small + more - 0.01)) == 0
    assert grow(caplog, (100, small), (200, small + more + 0.01)) == 1


def test_the_peak_of_the_first_requests_counts_though_it_was_not_seen(caplog):
    growth = MemoryGrowth()
    growth.requests = 100
    growth.look_at(GIB, 4 * GIB)
    growth.look_at(4 * GIB, 4 * GIB)
    assert not caplog.messages


# --- what the pipeline counts --------------------------------------------------------------

METADATA = {
    "inputs": [{"name": "x", "type": "ndarray", "shape": [-1]}],
    "model_input_list": ["x"],
    "model_output_list": ["y"],
}


def body(*numbers):
    return Request({"content-type": "application/json"}, json.dumps({"x": numbers}).encode())


def test_a_batch_is_counted_with_its_sizes_and_outcomes(start, counters, lines):
    worker = start(torch.nn.ReLU(), METADATA)
    requests = [body(1.0), Request({"content-type": "application/json"}, b"{"), body(2.0)]
    replies = answer(worker.handler, requests, counters=counters)
    counters.report()
    found = read(lines)
    assert found["eisen_batches_total", "3"] == 1
    assert found["eisen_requests_total", "ok"] == 2
    assert found["eisen_requests_total", "MalformedBody"] == 1
    assert found[("eisen_request_bytes_total",)] == sum(len(each.body) for each in requests)
    assert found[("eisen_reply_bytes_total",)] == sum(reply.size for reply in replies)


@pytest.mark.slow
def test_the_time_of_a_common_pass_is_counted_once(start_proven, counters, lines):
    class Slow(torch.nn.Module):
        def forward(self, x):
            time.sleep(0.05)
            return x

    worker = start_proven(Slow(), METADATA, sample={"x": [1.0]})
    replies = answer(worker.handler, [body(1.0), body(2.0), body(3.0)], counters=counters)
    counters.report()
    each = [
        float(reply.headers["Server-Timing"].split("inference;dur=")[1].split(",")[0])
        for reply in replies
    ]
    spent = read(lines)["eisen_stage_seconds_total", "inference"]
    assert spent * 1000 == pytest.approx(max(each), rel=0.01)


def test_what_a_transform_raised_and_what_was_too_large_have_their_names(start, counters, lines):
    worker = start(torch.nn.ReLU(), METADATA, lambda data: data["nothing"])
    answer(worker.handler, [body(1.0)], counters=counters)
    worker = start(torch.nn.ReLU(), METADATA)
    answer(worker.handler, [body(1.0)], Limits(3), counters=counters)
    counters.report()
    outcomes = {key[1] for key in read(lines) if key[0] == "eisen_requests_total"}
    assert outcomes == {"TransformFailed", "ReplyTooLarge"}


def test_the_fields_of_a_form_are_its_size(start, counters, lines):
    worker = start(torch.nn.ReLU(), METADATA)
    request = Request({"content-type": "multipart/form-data"}, b"", {"x": b"12345", "z": b"678"})
    answer(worker.handler, [request], counters=counters)
    counters.report()
    assert read(lines)[("eisen_request_bytes_total",)] == 8
