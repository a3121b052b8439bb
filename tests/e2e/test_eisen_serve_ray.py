"""``eisen-serve run --engine ray``: what it prints works, and nothing of it is ever left."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from eisen_deploy.client import EisenServingClient
from eisen_deploy.serving.engines.torchserve.launcher import free_ports

from .engines import wait_for
from .running_command import COMMAND, Running

HERE = Path(__file__).resolve().parent
ROWS = np.float32([[1, 2], [3, 4]])
SLOW = 600  # seconds, on a machine with other things to do


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo")
    for script, *names in (("pack_sampled.py",), ("pack_failing.py", "raises")):
        subprocess.run([sys.executable, HERE / script, folder, *names], check=True)
    return folder


@pytest.fixture
def start():
    started = []

    def _start(*arguments, **more):
        command = ["--engine", "ray", "--startup-timeout", SLOW, *arguments]
        started.append(Running("run", *command, python=sys.executable, **more))
        return started[-1]

    yield _start
    for running in started:
        running.__exit__()


def predict(url, **more):
    with EisenServingClient(url, **{"timeout": 30, **more}) as client:
        return client.predict({"x": ROWS}, idempotent=True)["y"]


def replicas_of(running, model):
    return running.pids(f"ray::ServeReplica:eisen-deploy:{model}")


def test_several_archives_answer_at_one_address_and_what_dies_comes_back(start, zoo, tmp_path):
    options = ["--max-body", "64KiB", "--json", "--folder", tmp_path]
    running = start(zoo / "seg.mar", zoo / "echo.mar", *options, variables=FOREIGN)
    running.until("}", SLOW)
    told = wait_for(lambda: read_json(running))
    assert {model["name"] for model in told["models"]} == {"seg", "echo"}
    for model in told["models"]:
        np.testing.assert_array_equal(predict(model["predictions"]), 2 * ROWS + 1)
    assert json.loads(read(told["readiness"])) == {"ready": True}
    assert list(Path(told["logs"]).glob("proxy*"))
    status, body = send_in_chunks(running.port, "/predictions/seg", 2**20)
    assert (status, json.loads(body)["type"]) == (413, "RequestTooLarge")
    assert b"EISEN_MAX_BODY" in body  # the proxy says so, which would read all of it
    replicas = replicas_of(running, "seg")
    assert len(replicas) == 2  # as its archive says
    # Ray Serve has a replica listen on every address, for who has its token; there is no setting.
    others = set(running.pids()) - set(running.pids("ray::ServeReplica"))
    addresses = listening_addresses(others)
    assert addresses
    assert all(address.endswith("0100007F") for address in addresses), addresses

    os.kill(replicas[0], signal.SIGKILL)
    url = f"http://127.0.0.1:{running.port}/predictions/seg"
    np.testing.assert_array_equal(predict(url, retries=5), 2 * ROWS + 1)  # by the other one
    wait_for(lambda: set(replicas_of(running, "seg")) - set(replicas), SLOW)

    running.process.send_signal(signal.SIGINT)
    assert running.ended(SLOW) == 130
    assert running.complaint.endswith("eisen-serve: interrupted\n")
    assert running.wait_gone(10)


#: Another Ray's: this one must not look for it.
FOREIGN = {"RAY_ADDRESS": "127.0.0.1:1", "RAY_AUTH_TOKEN": "another", "RAY_TMPDIR": "/nowhere"}


def send_in_chunks(port, path, size):
    """Send a body of which the size is not announced; return the answer."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        pieces = (bytes(2**14) for _ in range(size // 2**14))
        connection.request("POST", path, body=pieces, encode_chunked=True)
        answer = connection.getresponse()
        return answer.status, answer.read()


def read_json(running):
    try:
        return json.loads("".join(running.lines))
    except ValueError:
        return None


def read(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read()


def listening_addresses(pids):
    """Return the addresses that processes listen on, as the kernel writes them."""
    sockets = {str(each.readlink()) for pid in pids for each in list_descriptors(pid)}
    tables = [Path(f"/proc/net/{kind}").read_text().splitlines() for kind in ("tcp", "tcp6")]
    rows = [row.split() for table in tables for row in table[1:]]
    mine = [row for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]
    return [row[1].partition(":")[0] for row in mine]


def list_descriptors(pid):
    try:
        return [each for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink()]
    except OSError:
        return []


def test_a_model_that_does_not_load_is_refused_with_its_reason(start, zoo):
    running = start(zoo / "echo.mar", zoo / "raises.mar")
    assert running.ended(SLOW) == 1
    assert "the weights are of another planet" in running.complaint
    assert running.complaint.count("\n") == 1  # and no traceback
    assert running.wait_gone(10)


def test_a_folder_whose_path_is_too_long_for_sockets_is_refused(start, zoo, tmp_path):
    long = tmp_path / ("x" * 60)
    long.mkdir()
    running = start(zoo / "echo.mar", variables={"TMPDIR": str(long)})
    assert running.ended(SLOW) == 2
    assert "too long for Ray's sockets" in running.complaint
    assert "TMPDIR" in running.complaint


def test_workers_that_hold_for_some_archives_only_are_refused(start, zoo):
    running = start(zoo / "seg.mar", zoo / "echo.mar", "--workers", "3")
    assert running.ended(SLOW) == 2
    assert "--workers 3: seg says 2" in running.complaint


def make_config(folder, *arguments):
    command = [*COMMAND, "config", "--engine", "ray", *arguments, "-o", folder]
    printed = subprocess.run(
        list(map(str, command)), check=True, capture_output=True, text=True
    ).stdout
    return Path(printed.strip())


def test_the_printed_config_is_one_for_ray_and_says_everything(zoo, tmp_path):
    options = ["--workers", "2", "--max-body", "1GB", "--response-timeout", "40", "--port", "8123"]
    path = make_config(tmp_path, zoo / "seg.mar", zoo / "echo.mar", *options, "--token-auth")
    assert path == tmp_path / "serve.yaml"
    config = validate(path.read_text())
    assert config["http_options"]["port"] == 8123
    assert config["http_options"]["request_timeout_s"] > 80
    [application] = config["applications"]
    assert application["import_path"] == "eisen_deploy.serving.ray:build"
    given = application["args"]
    assert [Path(each["url"]).name for each in given["archives"]] == ["seg.mar", "echo.mar"]
    assert (given["max_body"], given["replicas"], given["response_timeout"]) == (10**9, 2, 40)
    assert given["token_file"]


def test_what_is_a_comment_in_the_config_holds_as_well(zoo, tmp_path):
    text = make_config(tmp_path, zoo / "echo.mar").read_text()
    lines = [line.replace("# ", "", 1) if is_setting(line) else line for line in text.splitlines()]
    lines = [
        line for line in lines if "replicas: 1" not in line or "min_" in line
    ]  # or autoscaling
    config = validate("\n".join(lines))
    assert config["http_options"]["ssl_certfile"] == "/etc/eisen-deploy/cert.pem"
    given = config["applications"][0]["args"]
    assert given["autoscaling"]["max_replicas"] == 4
    assert {"cpus", "gpus", "cache", "token_file"} <= set(given)


#: Reads a config by Ray's own schema, and the arguments by ours; in a process of its own, because
#: Ray's modules warn of themselves.
VALIDATE = """
import json, sys, yaml
from ray.serve.schema import ServeDeploySchema
from eisen_deploy.serving.ray import Arguments
config = ServeDeploySchema.model_validate(yaml.safe_load(sys.stdin))
for application in config.applications:
    Arguments.model_validate(application.args)
print(config.model_dump_json())
"""


def validate(text):
    command = [sys.executable, "-W", "ignore", "-c", VALIDATE]
    found = subprocess.run(command, input=text, text=True, check=True, capture_output=True).stdout
    return json.loads(found.splitlines()[-1])


def is_setting(line):
    """Whether a comment is a setting that could hold: it is indented, and names a value."""
    name, colon, _ = line.strip().removeprefix("# ").partition(":")
    is_name = name.strip().replace("_", "").isalnum() and name.strip().islower()
    return line.startswith("  ") and line.strip().startswith("# ") and bool(colon and is_name)


def test_serve_run_serves_by_the_printed_config(zoo, tmp_path):
    [port] = free_ports(1)
    path = make_config(tmp_path, zoo / "seg.mar", "--port", port)
    temporary = tempfile.mkdtemp(prefix="es-ray-", dir="/tmp")
    variables = {"TMPDIR": temporary, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    serving = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "ray.serve.scripts", "run", path],
        env={**os.environ, **variables},
        cwd=tmp_path,
        start_new_session=True,
    )
    try:
        url = f"http://127.0.0.1:{port}/predictions"
        wait_for(lambda: answers(f"{url}/seg"), SLOW)
        np.testing.assert_array_equal(predict(f"{url}/seg"), 2 * ROWS + 1)
    finally:
        serving.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            serving.wait(30)
        for process in psutil.process_iter():  # Ray's daemons have sessions of their own
            with suppress(psutil.Error):
                if process.environ().get("TMPDIR") == temporary:
                    process.kill()
        serving.wait()
        shutil.rmtree(temporary, ignore_errors=True)


def answers(url):
    try:
        return urllib.request.urlopen(url, data=b"", timeout=10).status == 200
    except OSError:
        return False
