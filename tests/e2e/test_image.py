"""The image's command outside an image: as the first process of namespaces of its own, as root."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from eisen_deploy.serving.cli import main

TOKEN = "run/secrets/eisen-deploy/token"

CLIENT = """
import json, sys
import numpy as np
from eisen_deploy.client import EisenServingClient, Unauthorized

rows = np.float32([[1, 2], [3, 4]])
answers = []
for token in sys.argv[1:]:
    url = "http://127.0.0.1:8080/predictions/model"
    with EisenServingClient(url, token=token, timeout=30) as client:
        try:
            answers.append(client.predict({"x": rows})["y"].tolist())
        except Unauthorized as error:
            answers.append(type(error).__name__)
print(json.dumps(answers))
"""


class Container:
    """A Dockerfile's command with the folders, the network and the processes of a container."""

    def __init__(self, dockerfile: Path, models: Path, temporary: Path) -> None:
        text = dockerfile.read_text()
        command = _read_list("ENTRYPOINT", text) + _read_list("CMD", text)
        self._health = _read_list(r"  CMD", text)
        steps = [
            "mount -t tmpfs tmpfs /mnt",
            f"mkdir /mnt/models && cp {shlex.quote(str(models))}/*.mar /mnt/models",
            "mount -t tmpfs tmpfs /run",
            f"mkdir -p /{Path(TOKEN).parent} && echo first > /{TOKEN}",
            "ip link set lo up",
            f"exec {shlex.join(command)}",
        ]
        namespaces = ["--mount", "--pid", "--net", "--fork", "--mount-proc", "--kill-child"]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._variables = {**os.environ, "PATH": path, "TMPDIR": str(temporary)}
        self._variables["PYTHONUNBUFFERED"] = "1"
        self.log = temporary.parent / f"{temporary.name}.log"
        with self.log.open("w") as log:
            self._unshare = subprocess.Popen(
                ["unshare", *namespaces, "sh", "-e", "-c", "\n".join(steps)],
                stdout=log,
                stderr=log,
                env=self._variables,
                start_new_session=True,
            )

    def first_process(self) -> int:
        """Return the number that the container's process 1 has outside."""
        (pid,) = _children(self._unshare.pid)
        return pid

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command with the container's network."""
        enter = ["nsenter", "--net", "--target", str(self.first_process())]
        return subprocess.run(
            [*enter, *command],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=self._variables,
        )

    def is_healthy(self) -> bool:
        """Whether the image's check of health succeeds."""
        return self.run(*self._health).returncode == 0

    def until(self, is_so, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not is_so():
            assert self._unshare.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.2)

    def ended(self) -> int:
        return self._unshare.wait(60)

    def end(self) -> None:
        self._unshare.kill()  # and with it, --kill-child
        self._unshare.wait()


def _read_list(word: str, text: str) -> list[str]:
    (found,) = re.findall(rf"^{word} (\[.*\])$", text, re.MULTILINE)
    return json.loads(found)


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _descendants(pid: int) -> dict[int, tuple[str, str]]:
    """Return state and command of all processes below one."""
    found = {}
    for child in _children(pid):
        state = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
        found[child] = (state, Path(f"/proc/{child}/cmdline").read_bytes().decode())
        found |= _descendants(child)
    return found


@pytest.fixture
def image(model_zoo, tmp_path):
    """A folder as ``eisen-serve export`` writes it."""
    assert main(["export", str(model_zoo / "model.mar"), "-o", str(tmp_path), "--token-auth"]) == 0
    return tmp_path


@pytest.fixture
def temporary():
    folder = Path(tempfile.mkdtemp(prefix="es-test-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def container(image, temporary):
    trial = ["unshare", "--mount", "--pid", "--net", "--fork", "--mount-proc", "ip", "link"]
    try:
        subprocess.run(trial, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no namespaces can be made here")
    started = Container(image / "Dockerfile", image, temporary)
    yield started
    started.end()


def test_the_images_command_serves_as_process_1_and_leaves_nothing(container, temporary):
    container.until(lambda: "Ctrl-C stops it." in container.log.read_text())
    assert container.is_healthy()
    root = Path(f"/proc/{container.first_process()}/root")
    (root / TOKEN).write_text("second")  # as Kubernetes replaces it in a secret
    found = container.run(sys.executable, "-c", CLIENT, "first", "second")
    assert json.loads(found.stdout) == ["Unauthorized", [[3, 5], [7, 9]]], found.stderr

    started = _descendants(container.first_process())
    worker = next(pid for pid in started if started[pid][1].startswith(f"{sys.executable}\0-m"))
    os.kill(worker, signal.SIGKILL)
    container.until(lambda: "serves again" in container.log.read_text())
    assert {state for state, _ in _descendants(container.first_process()).values()} <= {*"SRD"}
    assert container.is_healthy()

    os.kill(container.first_process(), signal.SIGTERM)
    assert container.ended() == 143
    assert list(temporary.iterdir()) == []
