"""``eisen-serve run --engine uvicorn``: what it prints works, and nothing of it is ever left."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import requests
import trustme

from eisen_deploy.client import (
    EisenServingClient,
    ServerBusy,
    ServerFailed,
    Unauthorized,
    UnknownOutcome,
)
from eisen_deploy.client.cli import main as ask_client
from eisen_deploy.serving.doctor import examine_server
from eisen_deploy.serving.engines.keys import Keys, read_keys

from .running_command import READY, Running

HERE = Path(__file__).resolve().parent
ROWS = np.float32([[1, 2], [3, 4]])


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo")
    for script in ("pack_sampled.py", "pack_hanging.py"):
        subprocess.run([sys.executable, HERE / script, folder], check=True)
    return folder


@pytest.fixture
def start():
    started = []

    def _start(*arguments, **more):
        python = more.pop("python", sys.executable)
        command = ["--engine", "uvicorn", *arguments]
        started.append(Running("run", *command, python=python, **more))
        return started[-1]

    yield _start
    for running in started:
        running.__exit__()


def client_of(running, model="seg", **more):
    url = f"http://127.0.0.1:{running.port}/predictions/{model}"
    return EisenServingClient(url, **{"timeout": 30, **more})


def predict(running, **more):
    with client_of(running, **more) as client:
        return client.predict({"x": ROWS})["y"]


def test_it_serves_and_a_worker_that_is_killed_comes_back(start, zoo):
    running = start(zoo / "seg.mar")
    running.until(READY)
    np.testing.assert_array_equal(predict(running), 2 * ROWS + 1)
    assert requests.get(f"http://127.0.0.1:{running.port}/v2/health/ready", timeout=9).json() == {
        "ready": True
    }
    workers = running.workers()
    assert len(workers) == 2  # as its archive says
    os.kill(workers[0], signal.SIGKILL)
    assert "signal 9" in running.until(f"worker {workers[0]} ended")
    np.testing.assert_array_equal(predict(running), 2 * ROWS + 1)  # by the other one
    running.until("serves again")
    assert len(running.workers()) == 2

    running.process.send_signal(signal.SIGINT)
    assert running.ended() == 130
    assert running.complaint == "eisen-serve: interrupted\n"
    assert running.wait_gone(1)


def test_workers_that_are_killed_together_come_back_together(start, zoo):
    running = start(zoo / "seg.mar")
    running.until(READY)
    workers = running.workers()
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    for _ in workers:
        running.until("serves again")
    said = [line for line in running.lines if "ended" in line or "serves again" in line]
    assert ["ended" in line for line in said] == [True, True, False, False]
    assert set(running.workers()).isdisjoint(workers)
    np.testing.assert_array_equal(predict(running), 2 * ROWS + 1)


def test_the_numbers_of_all_workers_are_summed_up(start, zoo):
    running = start(zoo / "seg.mar")
    running.until(READY)

    def ask(_):
        return predict(running)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(40)))
    text = requests.get(f"http://127.0.0.1:{running.port}/metrics", timeout=9).text
    line = next(line for line in text.splitlines() if 'Outcome="ok"' in line)
    assert float(line.split()[-1]) == 40
    assert 'ModelName="seg"' in line


def test_tokens_are_made_and_kept_from_others(start, zoo, tmp_path):
    running = start(zoo / "echo.mar", "--token-auth", "--folder", tmp_path / "server")
    running.until(READY)
    key_file = tmp_path / "server" / "key_file.json"
    assert key_file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(Unauthorized):
        predict(running, model="echo")
    np.testing.assert_array_equal(predict(running, model="echo", token=key_file), 2 * ROWS + 1)
    doctor_and_client_understand(f"http://127.0.0.1:{running.port}", key_file)
    running.process.terminate()
    assert running.ended() == 143
    assert not key_file.exists()


def doctor_and_client_understand(url, key_file):
    """What ``doctor``, ``check`` and ``wait`` say of this server is that nothing is wrong."""
    report = examine_server(url)
    assert (report.findings, len(report.unexamined)) == ([], 1)
    assert "--token-file" in report.unexamined[0]
    report = examine_server(url, keys=read_keys(key_file))
    assert (report.findings, report.unexamined) == ([], [])
    facts = dict(report.facts)
    assert "uvicorn " in facts["server"]
    assert "uvloop " in facts["server"]
    assert (facts["tokens"], facts["ready"], facts["model"]) == ("on", "yes", "echo, answers")
    assert facts["request up to"].startswith(f"{512 * 2**20} bytes")
    assert names_of(examine_server(url, keys=Keys("other"))) == ["application-refuses-token"]
    for command in ("wait", "check"):
        assert ask_client([command, f"{url}/predictions/echo", "--token-file", str(key_file)]) == 0


def names_of(report):
    return [finding.name for finding in report.findings]


def test_tls_with_a_key_that_torchserve_does_not_take(start, zoo, tmp_path):
    authority = trustme.CA()
    own = authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.ECDSA)
    cert, key, trusted = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem"
    own.cert_chain_pems[0].write_to_path(cert)
    own.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(trusted)
    running = start(zoo / "echo.mar", "--tls-cert", cert, "--tls-key", key)
    running.until(READY)
    url = f"https://127.0.0.1:{running.port}/predictions/echo"
    with EisenServingClient(url, verify=str(trusted), timeout=30) as client:
        np.testing.assert_array_equal(client.predict({"x": ROWS})["y"], 2 * ROWS + 1)


def test_a_model_that_takes_too_long_is_interrupted_and_its_process_stays(start, zoo):
    running = start(zoo / "hanging.mar")
    running.until(READY)
    before = running.workers()
    with client_of(running, "hanging", retries=0) as client:
        with pytest.raises(ServerFailed, match="504"):
            client.predict({"x": np.float32([30])})
        assert client.predict({"x": np.float32([0])})["y"] == 0
    assert running.workers() == before


def test_a_model_that_cannot_be_interrupted_is_answered_for_and_its_process_replaced(start, zoo):
    running = start(zoo / "hanging.mar")
    running.until(READY)
    before = running.workers()
    with client_of(running, "hanging", retries=0) as client:
        with ThreadPoolExecutor(2) as pool:
            hung = pool.submit(client.predict, {"x": np.float32([-60])})
            time.sleep(0.5)
            waiting = pool.submit(client.predict, {"x": np.float32([0])})
            assert hung.exception(20).status == 504
            assert isinstance(waiting.exception(20), ServerBusy)
        assert "did not answer in time" in running.until("ended")
        running.until("serves again")
        assert client.predict({"x": np.float32([0])})["y"] == 0
    assert set(running.workers()).isdisjoint(before)


def test_a_worker_that_is_stopped_is_ended_and_replaced(start, zoo):
    running = start(zoo / "echo.mar", "--silence", "3")
    running.until(READY)
    (worker,) = running.workers()
    os.kill(worker, signal.SIGSTOP)
    running.until("no sign of life", 20)
    running.until("serves again")
    assert running.workers() != [worker]
    np.testing.assert_array_equal(predict(running, model="echo"), 2 * ROWS + 1)


def test_a_request_that_kills_its_worker_is_an_unknown_outcome_and_others_are_served(start, zoo):
    running = start(zoo / "hanging.mar", "--workers", "2")
    running.until(READY)
    with client_of(running, "hanging", retries=0) as client:
        with pytest.raises(UnknownOutcome):
            client.predict({"x": np.float32([99])})
        assert client.predict({"x": np.float32([0])})["y"] == 0
    running.until("serves again")


def test_it_answers_what_it_has_begun_before_it_stops(start, zoo):
    running = start(zoo / "hanging.mar")
    running.until(READY)
    with client_of(running, "hanging", retries=0) as client, ThreadPoolExecutor(1) as pool:
        last = pool.submit(client.predict, {"x": np.float32([1.75])})
        time.sleep(0.5)
        running.process.terminate()
        time.sleep(0.6)
        with pytest.raises(ConnectionRefusedError):  # and not left to wait
            socket.create_connection(("127.0.0.1", running.port)).close()
        assert last.result(20)["y"] == 1.75
    assert running.ended() == 143
    assert running.wait_gone(1)


def test_nothing_is_left_of_one_that_is_killed(start, zoo):
    running = start(zoo / "seg.mar")
    running.until(READY)
    running.process.kill()
    running.process.wait()
    assert running.wait_gone()


def test_an_archive_that_is_changed_on_the_disk_is_unpacked_again(start, zoo):
    running = start(zoo / "echo.mar")
    running.until(READY)
    (unpacked,) = running.temporary.glob("*/unpacked-*")
    model = unpacked / "model.pt"
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    (worker,) = running.workers()
    os.kill(worker, signal.SIGKILL)
    running.until("next try")
    running.until("serves again")
    np.testing.assert_array_equal(predict(running, model="echo"), 2 * ROWS + 1)


def test_a_worker_that_fails_is_put_off_and_the_other_one_serves(start, zoo):
    running = start(zoo / "seg.mar", "--starts", "1")
    running.until(READY)
    (first, other), known = running.workers(), set()
    for _ in range(2):  # before it has answered anything
        known |= {first, other}
        os.kill(first, signal.SIGKILL)
        running.until("serves again")
        (first,) = set(running.workers()) - known
    assert any("answered nothing before it ended; next start in 2 s" in x for x in running.lines)
    for file in (*running.temporary.glob("*/unpacked-*/model.pt"), *copies_of(running)):
        file.chmod(0o600)
        file.write_bytes(file.read_bytes()[:-1] + b"x")
    os.kill(first, signal.SIGKILL)
    running.until("was changed")
    assert "its private copy" in running.until("others serve: 1")
    np.testing.assert_array_equal(predict(running), 2 * ROWS + 1)
    os.kill(other, signal.SIGKILL)
    assert running.ended() == 1
    assert "was changed" in running.complaint


def copies_of(running):
    """Return the private copy of the archive, from which it is unpacked again."""
    return running.temporary.glob("*/model_store/*.mar")


def test_a_model_that_does_not_load_is_refused_with_its_reason(start, zoo, tmp_path):
    script = HERE / "pack_failing.py"
    subprocess.run([sys.executable, script, tmp_path], check=True)
    archive = next(iter(sorted(tmp_path.glob("*.mar"))))
    running = start(archive)
    assert running.ended(120) == 1
    assert archive.stem in running.complaint


def test_what_it_cannot_do_is_refused_at_once(start, zoo):
    running = start(zoo / "seg.mar", zoo / "echo.mar")
    assert running.ended() == 2
    assert "uvicorn serves one archive" in running.complaint


def test_no_answer_is_another_requests_while_workers_are_killed(start, zoo):
    running = start(zoo / "seg.mar")
    running.until(READY)
    stop = threading.Event()

    def ask(number):
        rng = np.random.default_rng(number)
        wrong = failed = done = 0
        with client_of(running, retries=3) as client:
            while not stop.is_set():
                rows = rng.integers(0, 1000, (1, 2)).astype(np.float32)
                try:
                    got = client.predict({"x": rows}, idempotent=True)["y"]
                except Exception:  # noqa: BLE001 - counted
                    failed += 1
                else:
                    done += 1
                    wrong += not np.array_equal(got, 2 * rows + 1)
        return done, failed, wrong

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, number) for number in range(4)]
        for _ in range(3):
            time.sleep(1)
            os.kill(running.workers()[0], signal.SIGKILL)
            running.until("serves again")
        stop.set()
        done, failed, wrong = map(sum, zip(*(each.result() for each in asking), strict=True))
    assert done > 200
    assert (failed, wrong) == (0, 0)


def test_the_printed_configuration_starts_the_same(zoo, tmp_path):
    command = [sys.executable, "-m", "eisen_deploy.serving.cli", "config", str(zoo / "seg.mar")]
    command += ["--engine", "uvicorn", "--workers", "3", "-o", str(tmp_path)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    script = Path(printed.strip())
    text = script.read_text()
    assert "--engine uvicorn" in text
    assert "--workers 2" in text  # as its archive says
    subprocess.run(["sh", "-n", script], check=True)


def test_json_names_where_everything_is(start, zoo):
    running = start(zoo / "echo.mar", "--json")
    running.until("}", 60)
    while True:
        try:
            told = json.loads("".join(running.lines))
            break
        except ValueError:
            running.until("", 10)
    assert told["metrics"].endswith("/metrics")
    assert told["readiness"].endswith("/v2/health/ready")


def test_no_worker_outlives_who_started_it_and_its_guardian(start, zoo):
    running = start(zoo / "seg.mar")
    running.until(READY)
    running.process.send_signal(signal.SIGSTOP)
    for guardian in running.pids("guardian.py"):
        os.kill(guardian, signal.SIGKILL)
    running.process.kill()
    end = time.monotonic() + 20
    while running.pids() and time.monotonic() < end:
        time.sleep(0.1)
    assert not running.pids()


def test_a_worker_that_leaves_a_child_behind_is_replaced(start, zoo):
    running = start(zoo / "hanging.mar")
    running.until(READY)
    with client_of(running, "hanging", retries=0) as client:
        with pytest.raises(UnknownOutcome):
            client.predict({"x": np.float32([98])})
        running.until("serves again", 30)
        assert client.predict({"x": np.float32([0])})["y"] == 0


def test_workers_that_are_replaced_count_on_in_the_same_file(start, zoo):
    running = start(zoo / "echo.mar")
    running.until(READY)
    predict(running, model="echo")
    os.kill(*running.workers(), signal.SIGKILL)
    running.until("serves again")
    predict(running, model="echo")
    text = requests.get(f"http://127.0.0.1:{running.port}/metrics", timeout=9).text
    line = next(line for line in text.splitlines() if 'Outcome="ok"' in line)
    assert float(line.split()[-1]) == 2
    (counters,) = running.temporary.glob("*/counters")
    assert len(list(counters.iterdir())) == 1


def test_the_texts_of_errors_are_shown_to_who_develops(start, zoo):
    """The same failing request, on a server as it is by default and on one that shows texts."""
    variables = {"EISEN_SHOW_ERRORS": "1"}  # of the shell, which decides nothing
    for options, told in [
        ([], "inference raised ValueError; the log shows where"),
        (["--show-errors"], "inference raised ValueError: cannot convert float NaN to integer ("),
    ]:
        running = start(zoo / "hanging.mar", *options, variables=variables)
        running.until(READY)
        warned = any(line.startswith("WARNING: --show-errors: ") for line in running.lines)
        assert warned == bool(options)
        client = client_of(running, "hanging", retries=0)
        with client, pytest.raises(ServerFailed) as caught:
            client.predict({"x": np.float32([np.nan])})
        assert caught.value.server_message.startswith(told)
