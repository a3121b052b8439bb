"""Each request gets the answer to itself, or an error that says why it has no answer."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from eisen_deploy.client import EisenServingClient
from eisen_deploy.serving.engines.torchserve.calls import Endpoint, ServerCalls, ask

HERE = Path(__file__).resolve().parent
on_torchserve = pytest.mark.parametrize("engine", ["torchserve"], indirect=True)
OPEN = {"disable_token_authorization": "true"}
THREADS, CALLS = 8, 300


@pytest.fixture(scope="module")
def reusing(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reusing") / "model_zoo"
    subprocess.run([sys.executable, HERE / "pack_reusing.py", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def server(engine, serve_on, reusing):
    return serve_on(engine, reusing / "together.mar", reusing / "alone.mar")


def call_many(url, thread):
    """Make calls with numbers that no other call has; return how many got others back."""
    numbers = np.random.default_rng(thread)
    wrong = 0
    with EisenServingClient(url, timeout=60) as client:
        for _ in range(CALLS):
            x = numbers.standard_normal((numbers.integers(1, 4), 4)).astype(np.float32)
            wrong += not np.array_equal(client.predict({"x": x})["y"], 8 * x)
    return wrong


@pytest.mark.parametrize("model", ["together", "alone"])
def test_reused_memory_gives_no_request_the_answer_of_another(server, model):
    url = server.url(model)
    with ThreadPoolExecutor(THREADS) as pool:
        wrong = list(pool.map(lambda thread: call_many(url, thread), range(THREADS)))
    assert wrong == [0] * THREADS


def test_the_log_says_which_requests_share_a_pass(server, engine):
    told = "the requests of a batch run one by one: the archive was packed without a sample"
    lines = [line for line in server.log().splitlines() if told in line]
    assert lines
    if engine == "torchserve":  # on uvicorn each archive has a log of its own
        assert all("W-" in line and "alone_1.0" in line for line in lines)


def calls_to(server):
    return ServerCalls(server.inference_url, server.management_url, server.folder)


def test_an_explanation_is_refused_and_no_prediction(server, engine):
    expected = (501, "NotSupported") if engine == "torchserve" else (404, "NotFound")
    body = json.dumps({"x": [[1, 2, 3, 4]]}).encode()
    address, headers = Endpoint.parse(server.address("alone")), {"Content-Type": "application/json"}
    answer = ask(address, "POST", "/explanations/alone", body, headers)
    assert (answer.status, answer.kind) == expected


@pytest.mark.parametrize("envelope", ["kserve", "kservev2", "json", "body"])
def test_a_server_with_an_envelope_answers_each_request_with_the_reason(serve, reusing, envelope):
    server = serve(reusing, ["alone.mar"], {**OPEN, "service_envelope": envelope}, ready=False)
    calls = calls_to(server)
    deadline = time.monotonic() + 60
    while (answer := calls.predict("alone", b'{"x": [[1, 2, 3, 4]]}', timeout=30)).status != 501:
        assert time.monotonic() < deadline, (answer, server.last_lines(20))
        time.sleep(0.3)
    assert f"into the envelope {envelope}" in json.loads(answer.body)["message"]
    for body in (b"", b'{"instances": [[1, 2, 3, 4]]}', b"\x93NUMPY"):
        assert calls.predict("alone", body, timeout=30).status == 501


GRPC = """
import io, json, sys
import grpc
import numpy as np

def field(number, raw):
    return bytes([number << 3 | 2]) + varint(len(raw)) + raw

def varint(value):
    head = b""
    while value > 127:
        head, value = head + bytes([value & 127 | 128]), value >> 7
    return head + bytes([value])

address, inputs = sys.argv[1], json.loads(sys.argv[2])
request = field(1, b"alone")
for name, rows in inputs.items():
    file = io.BytesIO()
    np.save(file, np.float32(rows))
    request += field(3, field(1, name.encode()) + field(2, file.getvalue()))
with grpc.insecure_channel(address) as channel:
    call = channel.unary_unary(
        "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"
    )
    try:
        reply = call(request, timeout=60)
        print(np.load(io.BytesIO(reply[reply.index(b"\\x93NUMPY"):])).tolist())
    except grpc.RpcError as error:
        print(json.dumps([error.code().name, error.details()]))
"""


@on_torchserve
@pytest.mark.parametrize(
    ("inputs", "expected"),
    [({"x": [[1, 2, 3, 4]]}, [[8, 16, 24, 32]]), ({"body": [[1, 2, 3, 4]]}, [[8, 16, 24, 32]])],
)
def test_a_call_by_grpc_is_answered_with_the_prediction(server, make_environment, inputs, expected):
    python = make_environment("grpc", "grpcio", "numpy")
    address = f"127.0.0.1:{server.server.config['grpc_inference_port']}"
    told = subprocess.run(
        [python, "-c", GRPC, address, json.dumps(inputs)], capture_output=True, check=True
    )
    assert json.loads(told.stdout) == expected


@on_torchserve
def test_a_call_by_grpc_with_a_stray_input_is_refused(server, make_environment):
    python = make_environment("grpc", "grpcio", "numpy")
    address = f"127.0.0.1:{server.server.config['grpc_inference_port']}"
    stray = json.dumps({"image": [[1, 2, 3, 4]]})
    told = subprocess.run([python, "-c", GRPC, address, stray], capture_output=True, check=True)
    code, details = json.loads(told.stdout)
    assert code == "FAILED_PRECONDITION"  # TorchServe's word for 422
    assert "image: is not an input of the model" in details
