"""A replica without Ray: what it refuses, what it answers, and how its process ends."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eisen_deploy.serving.engines.asgi.settings import Settings
from eisen_deploy.serving.engines.model_thread import HUNG
from eisen_deploy.serving.engines.ray.fetching import Cache, Source
from eisen_deploy.serving.engines.ray.replica import Replica, Work, prepare_settings
from eisen_deploy.serving.runtime.errors import LoadFailed


@pytest.fixture
def work(affine_archive, tmp_path):
    """What a replica of an archive on a shared folder is told, on a node that has nothing yet."""
    shared = Path(shutil.copy(affine_archive, tmp_path / "shared.mar"))
    digest = Cache(tmp_path / "driver").fetch(Source(str(shared))).digest
    return Work(Source(str(shared), digest), Settings(), str(tmp_path / "node"))


def test_an_archive_that_was_replaced_is_refused(work, packer, affine, tmp_path):
    model, metadata = affine
    other = packer(None, None, metadata).pack(model(), tmp_path / "new", "model", "2.0")
    shutil.copy(other, work.source.url)
    expected = (
        f"^{work.source.url}: expected .* {work.source.digest}, got model 2.0 with .*replaced"
    )
    with pytest.raises(LoadFailed, match=expected):
        Replica(work)


def test_a_flipped_byte_is_refused(work):
    path = Path(work.source.url)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(LoadFailed, match=f"^{path}: .*changed"):
        Replica(work)


def test_without_a_token_nothing_starts(tmp_path):
    token = tmp_path / "token"
    with pytest.raises(LoadFailed, match=f"token_file {token}: No such file"):
        prepare_settings(Settings(token_file=token), 1)
    token.write_text("\n")
    with pytest.raises(LoadFailed, match="it is empty"):
        prepare_settings(Settings(token_file=token), 1)
    token.write_text("a-token\n")
    one, four = (prepare_settings(Settings(token_file=token), count) for count in (1, 4))
    assert four.all_bodies == pytest.approx(one.all_bodies / 4, abs=1)


HANGS = """
import asyncio, hashlib
from eisen_deploy.serving.engines.asgi.batcher import Batcher
from eisen_deploy.serving.engines.asgi.serving import Served
from eisen_deploy.serving.engines import model_thread

def answer(requests):
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000_000)

batcher = Batcher(answer, size=1, delay=0, queue=1, timeout=0.5)
model_thread.start(lambda: Served(None, batcher))

from eisen_deploy.serving.runtime.messages import Request

async def main():
    try:
        await batcher.put(Request({}, b"")).reply
    except Exception as error:
        print(type(error).__name__, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_model_that_hangs_in_native_code_ends_its_process():
    """Once the request has its answer; nothing else ends such a thread."""
    ended = subprocess.run(
        [sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=300, check=False
    )
    assert (ended.returncode, ended.stdout) == (HUNG, "TimedOut\n")
    assert "answer" in ended.stderr  # where it hung


ANSWERS = """
import asyncio, sys
import numpy as np
from eisen_deploy.serving.engines.asgi.settings import Settings
from eisen_deploy.serving.engines.ray.fetching import Source
from eisen_deploy.serving.engines.ray.replica import Replica, Work

async def main():
    url, digest, cache = sys.argv[1:]
    replica = Replica(Work(Source(url, digest), Settings(), cache))
    replica.check_health()
    headers = {"content-type": "application/json"}
    body = np.frombuffer(b'{"x": [[1, 2]]}', np.uint8)
    answered = await replica.exchange(headers, body)
    print(answered.status, all(each.flags.c_contiguous for each in answered.buffers))
    refused = await replica.exchange(headers, body[:3])
    print(refused.status, refused.headers["Content-Type"])
    replica.__del__()
    try:
        replica.check_health()
    except Exception as error:
        print(type(error).__name__)

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_replica_answers_what_the_router_hands_to_it(work):
    """In a process of its own, since loading an archive changes the process."""
    arguments = [work.source.url, work.source.digest, work.cache]
    done = subprocess.run(
        [sys.executable, "-c", ANSWERS, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["200 True", "400 application/json", "Unhealthy"]
