"""``eisen-client`` as a process: progress bars, signals, pipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from eisen_deploy import client
from eisen_deploy.client.cli.predict.command import name_step

COMMAND = [sys.executable, "-W", "error", "-m", "eisen_deploy.client.cli"]
METADATA = {
    "inputs": [{"name": "x", "type": "ndarray", "shape": [-1, 2]}, {"name": "any"}],
    "outputs": [{"name": "y", "type": "ndarray[int64]", "shape": [-1]}],
    "custom": {"note": "größe"},
}


@pytest.fixture
def slow_echo(serve, http):
    """A server that takes a second for a body, and answers as much."""
    import time

    metadata = {"inputs": [{"name": "x"}], "outputs": [{"name": "x"}]}

    def script(peer):
        while (request := peer.receive()) is not None:
            if request.body:
                time.sleep(0.3)
                peer.send(http.oip(request.decode().inputs))
            else:
                peer.send(http.reply(200, body=json.dumps(metadata).encode()))

    return serve(script)


@pytest.mark.skipif(sys.platform == "win32", reason="no such terminals")
def test_progress_bars_appear_on_a_terminal_and_not_in_a_pipe(slow_echo, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros(2**20))
    arguments = ["predict", slow_echo.url, "--input", f"x={tmp_path / 'x.npy'}", "--overwrite"]
    arguments += ["--output", f"x={tmp_path / 'y.npy'}"]
    script = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"
    shown = subprocess.run(
        [sys.executable, "-c", script, *COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=True,
    ).stdout.decode()
    assert "wait for the model ..." in shown
    assert shown.replace("\r\n", "\n").rstrip("\n").rpartition("\r")[2].endswith("1048576")
    piped = subprocess.run([*COMMAND, *arguments], capture_output=True, timeout=60, check=True)
    assert piped.stderr == b""
    assert b"\r" not in piped.stdout


def test_the_steps_of_a_call():
    calls = ((0, 9, 0, None), (5, 9, 0, None), (9, 9, 0, None), (9, 9, 2, 4), (9, 9, 4, None))
    assert [name_step(client.Progress(*call)) for call in calls] == [
        ("send", 0, 9),
        ("send", 5, 9),
        ("wait for the model", 0, 0),
        ("receive", 2, 4),
        ("receive", 4, None),
    ]


@pytest.mark.quick_cases(1)
@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_end_it_and_leave_nothing(serve, http, tmp_path, number, status):
    asked = []

    def script(peer):
        while (request := peer.receive()) is not None:
            if request.body:
                asked.append(os.kill(process.pid, number))
                peer.wait_for_close()
                return
            peer.send(http.reply(200, body=b"{}"))

    url = serve(script).url
    process = subprocess.Popen(
        [*COMMAND, "predict", url, "--value", "x=[1]", "--output", f"y={tmp_path / 'y.npy'}"],
        stderr=subprocess.PIPE,
        # What a shell starts in the background ignores it, and so do its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    _, err = process.communicate(timeout=60)
    assert asked == [None]
    assert process.returncode == status
    assert err in (b"", b"eisen-client: interrupted\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no such pipes")
def test_a_reader_that_goes_away(serve, http):
    url = serve(http.echo(METADATA)).url
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, "metadata", url], stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_help_needs_no_extra():
    code = (
        "import sys; sys.modules.update(dict.fromkeys("
        "('nibabel', 'pydicom', 'highdicom', 'PIL', 'tqdm')));"
        "from eisen_deploy.client.cli import main; sys.exit(main(['predict', '--help']))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
