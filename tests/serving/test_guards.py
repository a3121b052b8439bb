"""Replies that a server would not take, bodies of JSON, and what a worker logs of itself."""

from __future__ import annotations

import gzip
import json
import logging
import os

import numpy as np
import pytest
import torch

from eisen_deploy.serving import ReplyTooLarge
from eisen_deploy.serving.runtime._shared.model.serving_options import ServingOptions
from eisen_deploy.serving.runtime._shared.wire.protocol import LENGTH_HEADER
from eisen_deploy.serving.runtime._shared.wire.strict_json import MAX_BYTES
from eisen_deploy.serving.runtime.answering.budget import leave_margin
from eisen_deploy.serving.runtime.answering.limits import Limits
from eisen_deploy.serving.runtime.answering.pipeline import answer
from eisen_deploy.serving.runtime.messages import Reply, Request
from eisen_deploy.serving.runtime.torchserve import entry, metrics, server_config
from eisen_deploy.serving.runtime.torchserve.server_config import (
    MAX_REPLY,
    ServerConfig,
    find_limits,
)

NONE = ServingOptions()
NPY = {"content-type": "application/json", "accept": "application/x-npy"}
METADATA = {
    "outputs": [{"name": "y", "type": "ndarray", "shape": [-1]}],
    "model_input_list": ["x"],
    "model_output_list": ["y"],
}


class Zeros(torch.nn.Module):
    """Gives so many zeros of one byte."""

    def forward(self, x):
        return torch.zeros(int(x[0]), dtype=torch.uint8)


# --- the size of a reply -------------------------------------------------------------------


def test_a_reply_of_just_the_limit_is_taken_and_one_byte_more_is_not():
    limits = Limits(10, "the server's max_response_size is 10 (config.properties)")
    limits.check(Reply((b"12345", b"67890")))
    with pytest.raises(ReplyTooLarge) as caught:
        limits.check(Reply((b"12345", b"678901")))
    assert str(caught.value) == (
        "the reply has 11 bytes, and the server's max_response_size is 10 (config.properties): "
        "raise it, or ask for fewer outputs"
    )
    assert caught.value.status == 413


def ask(worker, sizes, limits, headers=NPY):
    requests = [Request(headers, json.dumps({"x": [size]}).encode()) for size in sizes]
    return answer(worker.handler, requests, limits)


def test_a_reply_over_the_limit_is_answered_413_and_harms_no_other(start):
    worker = start(Zeros(), METADATA)
    head = 128  # of a .npy file
    replies = ask(worker, [1000, 1001, 5], Limits(head + 1000))
    assert [reply.status for reply in replies] == [200, 413, 200]
    assert json.loads(replies[1].body)["type"] == "ReplyTooLarge"
    assert "Eisen-Model-Name" in replies[1].headers


def test_what_counts_is_what_is_sent(start):
    """A million zeros are a few thousand bytes of gzip."""
    worker = start(Zeros(), METADATA)
    limits = Limits(100_000)
    plain, packed = (
        ask(worker, [10**6], limits, {**NPY, **more})[0]
        for more in ({}, {"accept-encoding": "gzip"})
    )
    assert plain.status == 413
    assert packed.status == 200
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(gzip.decompress(packed.body)) == 128 + 10**6
    assert "compress;dur=" in packed.headers["Server-Timing"]
    assert "compress" not in plain.headers["Server-Timing"]


def test_errors_are_held_against_the_limit_too(start):
    worker = start(Zeros(), METADATA)
    request = Request(NPY, b"{" * 40)
    (reply,) = answer(worker.handler, [request], Limits(20))
    assert json.loads(reply.body)["type"] == "ReplyTooLarge"


# --- what a server allows ------------------------------------------------------------------


def test_limits_without_a_known_server():
    limits = find_limits(ServerConfig(), "m", "1.0", NONE, has_file=False)
    assert (limits.reply, limits.seconds, limits.request) == (MAX_REPLY, None, None)
    options = ServingOptions(response_timeout=30)
    assert find_limits(ServerConfig(), "m", "1.0", options, has_file=True).seconds == 27


def test_a_reply_never_has_more_bytes_than_a_frame_can_hold():
    server = ServerConfig(max_response_size=2**40)
    assert find_limits(server, "m", "1.0", NONE, has_file=False).reply == 2**31 - 1


@pytest.mark.parametrize(
    ("option", "has_file", "model", "timeout"),
    [
        (None, False, "m", 99),
        (None, False, "n", 44),
        (None, True, "n", 120),  # TorchServe's doing: a file that does not say counts as 120 s
        (30, True, "n", 30),
    ],
)
def test_which_timeout_applies(option, has_file, model, timeout):
    server = ServerConfig(
        max_response_size=5,
        default_response_timeout=99,
        models={"n": {"1.0": {"responseTimeout": 44}}},
        source="my.properties",
    )
    options = ServingOptions(response_timeout=option)
    limits = find_limits(server, model, "1.0", options, has_file=has_file)
    assert limits.seconds == leave_margin(timeout)
    assert limits.seconds_setting == f"responseTimeout is {timeout} s"
    assert limits.reply == 5
    assert limits.reply_setting == "the server's max_response_size is 5 (my.properties)"


def test_the_log_shows_which_worker_serves_what(unpack, start, caplog):
    with caplog.at_level(logging.INFO, "eisen_deploy.serving"):
        start(Zeros(), METADATA, serving={"response_timeout": 20})
    told = f"worker {os.getpid()} serves model 1.0: {MAX_REPLY} bytes for a reply, 18 s for a batch"
    assert told in caplog.messages


def test_what_the_server_allows_reaches_the_requests(start, monkeypatch, ones):
    config = ServerConfig(max_response_size=300, reads_model_metrics=False)
    monkeypatch.setattr(server_config, "read", lambda: config)
    worker = start(Zeros(), METADATA)
    small, large = worker.predict_all([{"x": 10 * ones[0]}, {"x": 1000 * ones[0]}])
    assert (small.status, large.status) == (200, 413)


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(("reads", "printed"), [(True, True), (False, False)])
def test_metrics_are_printed_only_for_a_server_that_takes_them(start, monkeypatch, reads, printed):
    lines = []
    monkeypatch.setattr(metrics, "print_line", lines.append)
    monkeypatch.setattr(server_config, "read", lambda: ServerConfig(reads_model_metrics=reads))
    worker = start(Zeros(), METADATA)
    counters = entry._session._answer.keywords["counters"]
    counters._thread = "none is started"
    worker.predict({"x": np.float32([7])})
    counters.report()
    assert any("Outcome:ok" in line for line in lines) is printed


# --- bodies of JSON ------------------------------------------------------------------------


def over(size=MAX_BYTES):
    return b'{"x": [0]}' + b" " * (size - 9)


def form(name, raw):
    return {"content-type": "multipart/form-data; boundary=b"}, {name: raw}


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    ("headers", "row"),
    [
        ({"content-type": "application/json"}, over()),
        ({}, over()),
        ({"content-type": "application/octet-stream"}, over()),
        (
            {"content-type": "application/octet-stream", LENGTH_HEADER: str(MAX_BYTES + 1)},
            over() + b"1234",
        ),
        ({"content-type": "application/json", "content-encoding": "gzip"}, gzip.compress(over())),
        form("x", over()),
    ],
    ids=["json", "untyped", "protocol", "json part", "gzip", "form"],
)
def test_json_has_a_cap_of_its_own(start, headers, row):
    metadata = {**METADATA, "inputs": [{"name": "x", "type": "list", "shape": []}]}
    reply = start(Zeros(), metadata).post(row, headers)
    assert reply.status == 413
    assert reply.json["type"] == "BodyTooLarge"
    assert f"at most {MAX_BYTES} are read" in reply.json["message"]
    assert "binary" in reply.json["message"]
