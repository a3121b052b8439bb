"""What happens to servers in a night, under load: honest calls end well, and it serves again.

Every call has a deadline. It ends within that and a second by a right answer or by an error of the
client. ``FAULT_STRIDE=1`` does all rounds instead of some; ``-s`` shows the numbers.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from eisen_deploy.client import EisenClientError, EisenServingClient, UnknownOutcome
from eisen_deploy.client._shared.wire import protocol
from eisen_deploy.serving.engines.uvicorn.protocol import HEAD_SECONDS

from .live_faults import overload
from .live_faults.load import LARGE_ROWS, RIGHT, unique_rows
from .live_faults.strangers import SlowClients, reset_while_sending
from .under_load import ENGINES_IN_TURN, count, long, served

HERE = Path(__file__).resolve().parent
RESPONSE_TIMEOUT = 4.0  # of single.mar
DESCRIPTORS = 12  # that a load of four threads may have opened since they were counted

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("waiting") / "zoo"
    pack = HERE / "live_faults" / "pack_waiting.py"
    subprocess.run([sys.executable, pack, folder], check=True)
    return folder


@pytest.fixture(scope="module", params=["torchserve", "uvicorn"])
def engine(request):
    """Those of one machine: ``tools/ray_faults`` lets a cluster fail."""
    return request.param


@pytest.fixture
def single(zoo, engine, server_python):
    """Serve a model that has one worker: while that is gone, nobody answers."""

    def _single(*arguments, **how):
        return served(zoo / "single.mar", engine, server_python, *arguments, **how)

    return _single


on_torchserve = pytest.mark.parametrize("engine", ["torchserve"], indirect=True)
slow_on_uvicorn = pytest.mark.parametrize("engine", ENGINES_IN_TURN, indirect=True)


def client_of(live):
    return EisenServingClient(f"http://127.0.0.1:{live.running.port}/predictions/single")


def kill_worker(live):
    worker = live.worker
    start = time.monotonic()
    os.kill(worker, signal.SIGKILL)
    live.back("worker killed", start, other_than=worker)


def kill_java(live):
    jvm = live.running.jvm()
    start = time.monotonic()
    os.kill(jvm, signal.SIGKILL)
    live.back("Java killed", start)
    live.running.until("serving again")
    assert live.running.jvm() != jvm


def test_workers_are_killed(single):
    rounds = count(50)
    with single() as live:
        for _ in range(rounds):
            time.sleep(random.uniform(0.2, 1.0))
            kill_worker(live)
        assert live.worker
    kinds = live.load.kinds()
    lost = kinds["WorkerDied"] + kinds["UnknownOutcome"] + kinds["ConnectionFailed"]
    assert lost + live.load.retried >= rounds, "no call was under way"


@slow_on_uvicorn
def test_workers_are_killed_while_they_reply(single):
    """Part of it is here already: it is no answer, and nothing of it comes to the next one."""
    x = unique_rows(64 * LARGE_ROWS)  # 128 MiB
    x[:, -1] = 0
    ends = Counter()
    with single(timeouts=[20.0]) as live, client_of(live) as client:
        for number in range(count(24)):
            killed = []

            def kill(progress, worker=live.worker, killed=killed):
                if progress.received and not killed:
                    os.kill(worker, signal.SIGKILL)
                    killed.append(worker)

            is_idempotent = number % 2 == 0
            end = end_of(client, x, idempotent=is_idempotent, progress=kill)
            assert end in ([RIGHT] if is_idempotent else [RIGHT, "lost in receiving"])
            ends[end] += 1
            assert killed
            live.back("worker killed", time.monotonic(), other_than=killed[0])
            assert np.array_equal(client.predict({"x": x[:9]}, timeout=20)["y"], 2 * x[:9] + 1)
    assert ends["lost in receiving"], "each reply was faster than the kill"


def end_of(client, x, **how):
    try:
        reply = client.predict({"x": x}, timeout=40, **how)
    except UnknownOutcome as error:
        return f"lost in {error.stage}"
    return RIGHT if np.array_equal(reply["y"], 2 * x + 1) else "wrong"


@on_torchserve
def test_java_is_killed(single):
    with single() as live:
        for _ in range(count(10)):
            time.sleep(random.uniform(0.2, 1.0))
            kill_java(live)
        assert live.worker
    assert set(live.load.kinds()) > {RIGHT}, "no call was under way"


@slow_on_uvicorn
def test_workers_are_stopped(single, engine):
    """One that stays so is replaced; one that goes on in time has only been slow."""
    patience = [] if engine == "torchserve" else ["--silence", int(RESPONSE_TIMEOUT)]
    with single(*patience) as live:
        for _ in range(count(10)):
            worker = live.worker
            start = time.monotonic()
            os.kill(worker, signal.SIGSTOP)
            live.back("worker stopped", start, more=RESPONSE_TIMEOUT, other_than=worker)
            assert worker not in live.running.workers()
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGCONT)

            worker = live.worker
            os.kill(worker, signal.SIGSTOP)
            time.sleep(RESPONSE_TIMEOUT / 4)
            start = time.monotonic()
            os.kill(worker, signal.SIGCONT)
            live.back("worker slow", start)
            assert live.worker == worker
        os.kill(live.worker, signal.SIGSTOP)  # it does not hear that it shall end, either
    assert live.load.kinds().keys() & {"WorkerDied", "DeadlineExceeded", "UnknownOutcome"}


@on_torchserve
def test_java_is_stopped(single):
    """Only the client notices, at its deadline."""
    with single() as live:
        jvm = live.running.jvm()
        for _ in range(count(10)):
            stopped = time.monotonic()
            os.kill(jvm, signal.SIGSTOP)
            time.sleep(5)  # the shorter one of the load's deadlines is 3 s
            assert not [each for each in live.load.outcomes if each.start > stopped + 0.5] or (
                live.load.kinds(stopped + 0.5).keys() <= {"DeadlineExceeded"}
            )
            start = time.monotonic()
            os.kill(jvm, signal.SIGCONT)
            live.back("Java goes on", start)
        assert live.running.jvm() == jvm
        os.kill(jvm, signal.SIGSTOP)  # it does not hear that it shall end, either
    assert live.load.kinds()["DeadlineExceeded"]


@slow_on_uvicorn
def test_clients_reset_while_they_send(single):
    with single(timeouts=[20.0]) as live:
        before = (live.worker, live.receiver)
        most = live.descriptors() + DESCRIPTORS
        body = request_body()
        start = time.monotonic()

        def reset(sent):
            time.sleep(random.uniform(0, 0.4))
            reset_while_sending(live.running.port, "single", body, sent)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(reset, [random.randrange(len(body)) for _ in range(50)]))
        live.wait_descriptors(most)
        live.back("resets", time.monotonic())
        assert (live.worker, live.receiver) == before
        assert set(live.load.kinds(start)) == {RIGHT}, live.load.examples


@slow_on_uvicorn
def test_slow_clients(single, engine):
    with single(timeouts=[20.0]) as live:
        before = (live.worker, live.receiver)
        most = live.descriptors() + DESCRIPTORS
        start = time.monotonic()
        with SlowClients(live.running.port, "single", whole_request(), 300):
            until = time.monotonic() + count(60)
            while time.monotonic() < until:
                live.back("beside slow clients", time.monotonic())
            if engine == "torchserve" or count(60) < HEAD_SECONDS:
                assert live.descriptors() > most + 280  # nobody was sent away
            else:
                assert live.descriptors() < most + 280  # those who have sent no whole head
        live.wait_descriptors(most)
        live.back("without them", time.monotonic())
        assert (live.worker, live.receiver) == before
        assert set(live.load.kinds(start)) == {RIGHT}, live.load.examples


@slow_on_uvicorn
def test_the_disk_for_logs_is_full(single, engine, small_disk):
    with single("--folder", small_disk / "server", timeouts=[20.0]) as live:
        fill(small_disk / "fill")
        start = time.monotonic()
        time.sleep(3)
        assert set(live.load.kinds(start, start + 2)) == {RIGHT}
        assert not os.statvfs(small_disk).f_bavail
        for _ in range(count(12)):
            kill_worker(live)
        for _ in range(count(6) if engine == "torchserve" else 0):
            kill_java(live)


@long
def test_models_hang_and_run_out_of_memory(single):
    """Whoever asked gets an error that says so, and the next one an answer."""
    with single(timeouts=[20.0]) as live, client_of(live) as client:
        for _ in range(count(12)):
            assert error_of(client, 1000.0) == (507, "OutOfMemory")
            start = time.monotonic()
            assert error_of(client, -60.0)[0] in (500, 504)
            live.back("model hung", start, more=RESPONSE_TIMEOUT)


def error_of(client, order):
    """Return status and type of the error that the model's order leads to."""
    x = unique_rows(1)
    x[:, -1] = order
    with pytest.raises(EisenClientError) as caught:
        client.predict({"x": x}, timeout=60)
    return getattr(caught.value, "status", 0), getattr(caught.value, "type", None)


@long
def test_three_times_too_many_requests(single):
    """As many are answered as without the others, which are refused at once."""
    seconds = count(60)
    with single(threads=0) as live:
        url = f"http://127.0.0.1:{live.running.port}/predictions/single"
        capacity = overload.offer(url, threads=24, seconds=seconds).goodput
        found = overload.offer(url, threads=300, seconds=seconds, per_second=3 * capacity)
        print(
            f"{live.engine}: {capacity:.1f} answers a second; offered three times as many: {found}"
        )
        live.back("after the overload", time.monotonic())
    assert found.wrong == 0
    assert set(found.statuses) == {200, 503}
    assert found.goodput >= 0.9 * capacity
    assert found.refused_within <= 1.0


def fill(path):
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(512)):
            pass


def request_body():
    return b"".join(encoded().buffers)


def whole_request():
    body = encoded()
    headers = {
        "Host": "127.0.0.1",
        "Content-Length": str(body.size),
        **body.headers,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /predictions/single HTTP/1.1\r\n{lines}\r\n".encode() + b"".join(body.buffers)


def encoded():
    """A request of 2 MiB for a reply of as much, at once."""
    x = unique_rows(LARGE_ROWS)
    x[:, -1] = 0
    return protocol.encode_request({"x": x})
