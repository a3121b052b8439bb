"""``eisen-serve`` on a real TorchServe: what it prints works, and nothing of it is ever left."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import trustme

from eisen_deploy.client import (
    DeadlineExceeded,
    EisenServingClient,
    ServerBusy,
    Unauthorized,
    UnknownOutcome,
)

from .running_command import COMMAND, READY, Running, free_ports

HERE = Path(__file__).resolve().parent
ROWS = np.float32([[1, 2], [3, 4]])
#: Waits for Java for 6 seconds, and not for a minute; and starts it twice.
IMPATIENT = ("--silence", 6, "--starts", 2)
#: With a heap that holds few of the largest bodies.
SCANT = "-Xmx320m -XX:MaxDirectMemorySize="


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sampled") / "zoo"
    subprocess.run([sys.executable, HERE / "pack_sampled.py", folder], check=True)
    return folder


@pytest.fixture
def start(server_python):
    started = []

    def _start(*arguments, python=server_python, **more):
        started.append(Running("run", *arguments, python=python, **more))
        return started[-1]

    yield _start
    for running in started:
        running.__exit__()


def command_in(running, label):
    """Return the first printed command line with a label."""
    (line, *_) = [line for line in running.lines if line.startswith(f"  {label}  ")]
    return shlex.split(line.strip().removeprefix(label))


def output_of(command, cwd):
    return subprocess.run(command, cwd=cwd, capture_output=True, check=True).stdout


def predict(running, rows=ROWS, **more):
    url = f"http://127.0.0.1:{running.port}/predictions/seg"
    with EisenServingClient(url, **{"timeout": 30, **more}) as client:
        return client.predict({"x": rows})["y"]


def test_what_it_prints_works_and_it_survives_what_is_killed(start, zoo, tmp_path):
    running = start(zoo / "seg.mar", zoo / "echo.mar")
    running.until(READY)
    assert any("seg: ready, sample predicted" in line for line in running.lines)
    assert any("echo: ready, metadata answered" in line for line in running.lines)

    metadata = json.loads(output_of(command_in(running, "metadata"), tmp_path))
    assert metadata["inputs"][0]["name"] == "x"
    sample = command_in(running, "its sample")
    size = int(next(part for part in sample if "Header-Content" in part).split()[-1])
    output_of(sample, tmp_path)
    raw = bytearray((tmp_path / "reply.bin").read_bytes())
    assert raw.startswith(b"{")
    json_end = raw.index(b"}]}") + 3
    assert json.loads(raw[:json_end])["outputs"][0]["name"] == "y"
    assert size > 0
    np.testing.assert_array_equal(predict(running), 2 * ROWS + 1)

    workers = running.workers()
    assert len(workers) == 3  # two of seg, as its archive says; one of echo
    os.kill(workers[0], signal.SIGKILL)
    assert f"worker {workers[0]} ended" in running.until("ended")
    running.until("serves again")

    jvm = running.jvm()
    os.kill(jvm, signal.SIGKILL)
    assert "it was killed by SIGKILL" in running.until("TorchServe ended")
    running.until("serving again")
    assert running.jvm() != jvm
    assert len(running.workers()) == 3
    np.testing.assert_array_equal(predict(running), 2 * ROWS + 1)

    running.process.send_signal(signal.SIGINT)
    assert running.ended() == 130
    assert running.complaint == "eisen-serve: interrupted\n"
    assert running.wait_gone(1)


def test_a_java_that_hangs_is_ended_and_started_again(start, zoo):
    running = start(zoo / "seg.mar", *IMPATIENT)
    running.until(READY)
    jvm, workers = running.jvm(), running.workers()
    os.kill(jvm, signal.SIGSTOP)
    with pytest.raises(DeadlineExceeded):
        predict(running, timeout=1)
    assert "answered nothing for 6 s" in running.until("answered nothing", 30)
    running.until("serving again")
    assert not {jvm, *workers} & {running.jvm(), *running.workers()}
    np.testing.assert_array_equal(predict(running), 2 * ROWS + 1)


def test_a_pause_of_java_is_waited_for(start, zoo):
    running = start(zoo / "seg.mar", *IMPATIENT)
    running.until(READY)
    jvm = running.jvm()
    for _ in range(3):
        os.kill(jvm, signal.SIGSTOP)
        time.sleep(3)
        os.kill(jvm, signal.SIGCONT)
        np.testing.assert_array_equal(predict(running), 2 * ROWS + 1)
        time.sleep(2)
    assert running.jvm() == jvm


def test_a_server_that_cannot_start_again_is_given_up(start, zoo):
    running = start(zoo / "seg.mar", *IMPATIENT)
    running.until(READY)
    (archive,) = running.temporary.rglob("seg*.mar")
    archive.unlink()  # the link to it, or its copy
    os.kill(running.jvm(), signal.SIGKILL)
    assert "1 are left" in running.until("next try in 2 s")
    assert running.ended() == 1
    assert "seg" in running.complaint
    assert running.wait_gone(1)
    assert (zoo / "seg.mar").is_file()


def test_what_removes_old_files_leaves_a_server_alone(start, zoo, tmp_path):
    cleaner = shutil.which("systemd-tmpfiles")
    if cleaner is None:
        pytest.skip("no systemd-tmpfiles on this machine")
    running = start(zoo / "seg.mar")
    running.until(READY)
    old = running.temporary / "old" / "file"
    old.parent.mkdir()
    old.touch()
    time.sleep(2)
    rules = tmp_path / "rules.conf"
    rules.write_text(f"d {running.temporary} - - - 1s\n")
    subprocess.run([cleaner, "--clean", rules], check=True)
    assert not old.exists()
    os.kill(running.jvm(), signal.SIGKILL)
    running.until("serving again")
    np.testing.assert_array_equal(predict(running), 2 * ROWS + 1)


def test_more_uploads_than_fit_are_answered_and_the_rest_go_on(start, zoo):
    size = 2**24
    running = start(zoo / "seg.mar", "--max-body", size, variables={"_JAVA_OPTIONS": f"{SCANT}32m"})
    running.until(READY)
    jvm = running.jvm()
    head = f"POST /predictions/seg HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"
    rows = np.ones((2**21 - 2**10, 2), np.float32)  # nearly as much
    with contextlib.ExitStack() as connections:
        for _ in range(12):
            connection = socket.create_connection(("127.0.0.1", running.port), 10)
            connections.enter_context(connection)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(head.encode() + bytes(size - 2**20))  # the rest never comes
            np.testing.assert_array_equal(predict(running), 2 * ROWS + 1)
        with pytest.raises(ServerBusy, match="MaxDirectMemorySize") as caught:
            predict(running, rows)
        assert caught.value.attempts == 4
    np.testing.assert_array_equal(predict(running, rows), 2 * rows + 1)
    assert running.jvm() == jvm


def test_a_server_whose_heap_is_used_up_ends_and_is_started_again(start, zoo):
    running = start(
        zoo / "seg.mar", "--max-body", "256MiB", variables={"_JAVA_OPTIONS": f"{SCANT}512m"}
    )
    running.until(READY)
    with pytest.raises(UnknownOutcome):
        predict(running, np.ones((25 * 2**20, 2), np.float32))
    assert "OutOfMemoryError: Java heap space" in running.until("TorchServe ended")
    running.until("serving again")
    np.testing.assert_array_equal(predict(running), 2 * ROWS + 1)


def test_tokens_never_show_and_work_as_printed(start, zoo, tmp_path):
    running = start(zoo / "seg.mar", "--token-auth", "--folder", tmp_path / "server")
    running.until(READY)
    key = json.loads((tmp_path / "server" / "key_file.json").read_text())["inference"]["key"]
    assert key not in "".join(running.lines)
    assert key not in (tmp_path / "server" / "config.properties").read_text()
    assert json.loads(output_of(command_in(running, "metadata"), tmp_path))["outputs"]
    with pytest.raises(Unauthorized):
        predict(running)
    predict(running, token=tmp_path / "server" / "key_file.json")

    running.process.send_signal(signal.SIGTERM)
    assert running.ended() == 143
    assert running.wait_gone(1)
    left = {path.name for path in (tmp_path / "server").iterdir()}
    assert {"config.properties", "log4j2.xml", "logs"} <= left
    assert not left & {"key_file.json", "authorization.txt"}


def write_certificate(folder):
    """Write one for 127.0.0.1, with the authority that signed it, and its key."""
    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    own = authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.RSA)
    cert, key = folder / "cert.pem", folder / "key.pem"
    own.private_key_pem.write_to_path(key)
    key.chmod(0o600)
    for blob in own.cert_chain_pems:
        blob.write_to_path(cert, append=True)
    authority.cert_pem.write_to_path(cert, append=True)
    return cert, key


def test_tls(start, zoo, tmp_path):
    cert, key = write_certificate(tmp_path)
    running = start(zoo / "seg.mar", "--tls-cert", cert, "--tls-key", key)
    running.until(READY)
    assert json.loads(output_of(command_in(running, "metadata"), tmp_path))["outputs"]
    with EisenServingClient(
        f"https://127.0.0.1:{running.port}/predictions/seg", verify=str(cert), timeout=30
    ) as client:
        np.testing.assert_array_equal(client.predict({"x": ROWS})["y"], 2 * ROWS + 1)


def three_ports():
    """Return a free port that has two free ones behind it."""
    while True:
        (port,) = free_ports(1)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError, OverflowError):
            for each in (port, port + 1, port + 2):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", each))
            return port


def diagnose(target, *options):
    command = [*COMMAND, "doctor", "--json", target, *options]
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    return json.loads(ended.stdout)


@pytest.mark.alone  # other tests take memory and ports, and it would say so
@pytest.mark.parametrize("with_tls", [False, True])
def test_doctor_finds_nothing_to_advise(start, zoo, tmp_path, with_tls):
    port, folder = three_ports(), tmp_path / "server"
    given, trusted = ["--port", port, "--token-auth", "--folder", folder], []
    if with_tls:
        cert, key = write_certificate(tmp_path)
        given += ["--tls-cert", cert, "--tls-key", key]
        trusted = ["--authorities", cert]
    running = start(zoo / "echo.mar", *given, ports=False)
    running.until(READY)
    url = f"http{'s' if with_tls else ''}://127.0.0.1:{port}"
    told = diagnose(url, "--token-file", folder / "key_file.json", *trusted)
    assert (told["status"], told["findings"], told["unexamined"]) == (0, [], [])
    told = diagnose(folder, "--model-store", zoo, "--models", "echo.mar")
    assert told["findings"] == []
    assert told["status"] == 0


@pytest.mark.parametrize("while_starting", [True, False])
def test_nothing_outlives_a_killed_eisen_serve(start, zoo, while_starting):
    running = start(zoo / "echo.mar")
    if while_starting:
        running.until("sound")
        while not running.pids("org.pytorch.serve.ModelServer"):
            assert running.process.poll() is None
            time.sleep(0.05)
    else:
        running.until(READY)
        assert running.workers()
    running.process.kill()
    assert running.wait_gone()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_it_can_be_ended_while_it_starts(start, zoo, number, status):
    running = start(zoo / "echo.mar")
    running.until("sound")
    while not running.pids("org.pytorch.serve.ModelServer"):
        assert running.process.poll() is None
        time.sleep(0.05)
    running.process.send_signal(number)
    assert running.ended() == status
    assert running.wait_gone(1)


def test_a_second_signal_does_not_wait(start, zoo):
    running = start(zoo / "echo.mar")
    running.until(READY)
    os.kill(running.jvm(), signal.SIGSTOP)  # it will not end by itself
    running.process.send_signal(signal.SIGINT)
    running.until("stopping")
    running.process.send_signal(signal.SIGINT)
    assert running.ended(5) == 130
    assert running.wait_gone(1)


def test_a_port_in_use_is_reported_with_its_option(start, zoo):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        taken = other.getsockname()[1]
        one, two = free_ports(2)
        given = ["--port", one, "--metrics-port", two, "--management-port", taken]
        running = start(zoo / "echo.mar", *given, ports=False)
        assert running.ended() == 2
    assert running.complaint == (
        f"eisen-serve: 127.0.0.1:{taken} is taken: --management-port takes another one\n"
    )
    assert running.wait_gone(1)


def test_a_java_home_that_points_to_nothing_is_left_aside(start, zoo, tmp_path):
    stale = tmp_path / "removed"
    running = start(zoo / "seg.mar", variables={"JAVA_HOME": str(stale)})
    assert f"JAVA_HOME is {stale}" in running.until("JAVA_HOME")
    running.until(READY)
    np.testing.assert_array_equal(predict(running), 2 * ROWS + 1)


def test_what_an_archive_requires_is_said_before_torchserve_starts(start, tmp_path):
    pack = (
        "import torch; from eisen_deploy.packaging import EisenServingMAR as M;"
        f"M(None, None, {{}}).pack(torch.nn.Identity(), {str(tmp_path)!r}, 'echo', '1',"
        " requirements=['absent-one==1.0'])"
    )
    subprocess.run([sys.executable, "-c", pack], check=True)
    running = start(tmp_path / "echo.mar")
    assert "echo needs absent-one==1.0" in running.until("pip install --no-deps absent-one==1.0")
    assert not running.pids("org.pytorch.serve.ModelServer")
    running.until(READY)  # it was not needed


def test_bad_archives_are_named(start, zoo, tmp_path):
    raw = bytearray((zoo / "seg.mar").read_bytes())
    raw[len(raw) // 2] ^= 1
    (tmp_path / "bad.mar").write_bytes(raw)
    running = start(zoo / "echo.mar", tmp_path / "bad.mar", zoo / "echo.mar")
    assert running.ended() == 2
    lines = running.complaint.splitlines()
    assert f"{tmp_path / 'bad.mar'}: " in lines[0]
    assert "CRC-32" in lines[0]
    assert "echo 2.1 is in" in lines[1]
    assert running.wait_gone(1)


def test_two_versions_of_a_model_have_each_a_url(start, zoo, tmp_path):
    pack = (
        "import torch; from eisen_deploy.packaging import EisenServingMAR as M;"
        f"M(None, None, {{}}).pack(torch.nn.Identity(), {str(tmp_path)!r}, 'echo', '3')"
    )
    subprocess.run([sys.executable, "-c", pack], check=True)
    running = start(zoo / "echo.mar", tmp_path / "echo.mar")
    running.until(READY)
    for line in [line for line in running.lines if line.startswith("  metadata")]:
        told = output_of(shlex.split(line.strip().removeprefix("metadata")), tmp_path)
        assert ("inputs" in json.loads(told)) == ("echo/2.1" in line)
    # TorchServe takes no version in the other form of the URL.
    assert not [line for line in running.lines if line.startswith("  protocol")]


def test_plain_torchserve_with_what_config_writes(server_python, zoo, tmp_path):
    ports = free_ports(3)
    flags = ["--port", "--management-port", "--metrics-port"]
    given = [str(part) for pair in zip(flags, ports) for part in pair]
    folder = tmp_path / "server"
    command = [*COMMAND, "config", zoo / "seg.mar", zoo / "echo.mar", *given]
    command += ["--python", server_python, "--max-body", "64MiB"]
    told = subprocess.run([*command, "-o", folder], capture_output=True, text=True, check=True)
    assert told.stdout.split() == [
        str(folder / name) for name in ("config.properties", "log4j2.xml", "torchserve.sh")
    ]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.startswith((folder / "config.properties").read_text())
    assert "max_request_size=67108864" in printed

    script = folder / "torchserve.sh"
    try:
        subprocess.run(["sh", script], check=True, stdout=subprocess.DEVNULL)
        with EisenServingClient(f"http://127.0.0.1:{ports[0]}/predictions/seg") as client:
            client.wait_ready(60)
            np.testing.assert_array_equal(client.predict({"x": ROWS})["y"], 2 * ROWS + 1)
    finally:
        stop = script.read_text().replace("--start", "--foreground --stop")
        subprocess.run(["sh", "-c", stop], check=True, stdout=subprocess.DEVNULL)


def fill(path):
    """Write until the disk is full."""

    def write():
        with path.open("wb", buffering=0) as file:
            while file.write(bytes(512)):
                pass

    with pytest.raises(OSError, match="No space left"):
        write()


def test_a_full_disk_for_logs_does_not_stop_it(start, zoo, small_disk):
    running = start(zoo / "seg.mar", "--folder", small_disk / "server")
    running.until(READY)
    fill(small_disk / "fill")
    for _ in range(20):
        np.testing.assert_array_equal(predict(running), 2 * ROWS + 1)
    os.kill(running.workers()[0], signal.SIGKILL)
    running.until("serves again")
    os.kill(running.jvm(), signal.SIGKILL)
    running.until("serving again")
    np.testing.assert_array_equal(predict(running), 2 * ROWS + 1)
    running.process.send_signal(signal.SIGTERM)
    assert running.ended() == 143
    assert running.wait_gone(1)
