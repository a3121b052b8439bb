"""The guardian of a server, with commands that are no servers but leave as much behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eisen_deploy.serving.engines.processes import guardian

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")

# Starts a server and ends, as torchserve --start does; each of the three says that it runs.
STARTER = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", sys.argv[1]])
"""
SERVER = """
import os, signal, subprocess, sys, time
{}
def touch(name):
    open(f"{{name}}.tmp", "w").write(str(os.getpid()))
    os.rename(f"{{name}}.tmp", name)
child = "import os, time; os.setsid(); open('worker', 'w').write(str(os.getpid())); time.sleep(99)"
worker = subprocess.Popen([sys.executable, "-c", child])
while not os.path.exists("worker") or not open("worker").read():
    time.sleep(0.01)
print("server runs", flush=True)
touch("server")
time.sleep(99)
"""
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
TALKATIVE = """
if os.fork() == 0:
    while True:
        os.write(1, b"x" * 65536)
"""
POLITE = "signal.signal(signal.SIGTERM, lambda *_: (touch('asked'), os._exit(3)))"


@pytest.fixture
def guarded(tmp_path):
    """Start a server below a guardian, in a folder; ends with the test."""
    started = []

    def _start(what="", folder=""):
        command = [sys.executable, "-c", STARTER, SERVER.format(what)]
        log = str(tmp_path / "log")
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", guardian.__file__, log, str(folder), "10", *command],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert int(process.stdout.readline()) > 0
        wait_for((tmp_path / "server").exists)
        return process

    yield _start
    for process in started:
        process.stdin.close()
        process.stdout.close()
        process.wait(30)


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def say(process, what):
    process.stdin.write(what)
    process.stdin.flush()


def pid(tmp_path, name):
    return int((tmp_path / name).read_text())


def nobody_is_left(tmp_path):
    return not any(Path(f"/proc/{pid(tmp_path, each)}").exists() for each in ("server", "worker"))


def test_who_started_it_is_gone(guarded, tmp_path):
    folder = tmp_path / "disposable"
    folder.mkdir()
    process = guarded(folder=folder)
    process.stdin.close()
    process.wait(30)
    assert nobody_is_left(tmp_path)
    assert not folder.exists()


def test_it_is_asked_to_end(guarded, tmp_path):
    folder = tmp_path / "kept"
    folder.mkdir()
    process = guarded(POLITE, folder)
    say(process, b"t")
    assert process.wait(30) == 3
    assert (tmp_path / "asked").exists()
    assert nobody_is_left(tmp_path)
    assert folder.exists()


def test_one_that_does_not_end_is_killed(guarded, tmp_path):
    process = guarded(STUBBORN)
    say(process, b"t")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    say(process, b"k")
    process.wait(5)
    assert nobody_is_left(tmp_path)


def test_a_server_that_is_killed_takes_its_workers_along(guarded, tmp_path):
    process = guarded()
    os.kill(pid(tmp_path, "server"), 9)
    assert process.wait(30) == 128 + 9
    assert nobody_is_left(tmp_path)


def test_what_is_printed_is_in_the_log(guarded, tmp_path):
    guarded()
    log = tmp_path / "log"  # is made when there is something to write
    wait_for(lambda: log.exists() and "server runs" in log.read_text("utf-8"))


def test_the_log_is_bounded_and_a_full_disk_harmless(tmp_path, monkeypatch):
    monkeypatch.setattr(guardian, "_LOG_BYTES", 100)
    shell = [
        "sh",
        "-c",
        f"for i in 1 2 3 4; do head -c 90 /dev/zero; sleep 0.1; done; cd {tmp_path}",
    ]
    for name in ("log", "missing/log"):  # nothing can be written to the second one
        watched = guardian.Guardian(shell, tmp_path / name)
        while watched.write_log():
            time.sleep(0.01)
        while watched.reap():
            time.sleep(0.01)
        os.close(watched.output)
    assert (tmp_path / "log").stat().st_size + (tmp_path / "log.1").stat().st_size == 360
    assert (tmp_path / "log").stat().st_size < 200


def test_one_that_prints_without_an_end_is_ended(guarded, tmp_path):
    process = guarded(TALKATIVE)
    say(process, b"t")
    process.wait(20)
    assert nobody_is_left(tmp_path)


def run_guarded(folder, script, *before):
    """Run a shell script below a guardian, and return its status and what it wrote.

    :param before: a command that starts the guardian.
    """
    log = folder / "log"
    guard = [sys.executable, "-I", "-S", guardian.__file__, str(log), "", "10"]
    process = subprocess.Popen(
        [*before, *guard, "sh", "-c", script],
        stdin=subprocess.PIPE,  # open: otherwise it would end the command
        stdout=subprocess.DEVNULL,
    )
    try:
        return process.wait(60), log.read_text()
    finally:
        process.stdin.close()


def test_a_process_that_a_command_leaves_behind_may_end_before_it(tmp_path):
    script = "(sleep 0.1 &); sleep 1; echo done; exit 7"
    assert run_guarded(tmp_path, script) == (7, "done\n")


def test_the_command_may_open_as_many_files_as_the_system_allows(tmp_path):
    before = ["sh", "-c", 'ulimit -Sn 200; exec "$@"', "sh"]
    status, said = run_guarded(tmp_path, "ulimit -Sn; ulimit -Hn", *before)
    soft, hard = said.split()
    assert status == 0
    assert soft == hard != "200"
