"""Archives on a node: fetched, verified, kept by their digest, thrown away when damaged."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from eisen_deploy.serving.engines.ray.fetching import Cache, Source
from eisen_deploy.serving.engines.served_archives import BadArchives


@pytest.fixture
def archive(affine_archive, tmp_path):
    return Path(shutil.copy(affine_archive, tmp_path / "affine.mar"))


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


def flip_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_an_archive_is_kept_by_its_digest(archive, cache, tmp_path):
    fetched = cache.fetch(Source(str(archive)))
    assert fetched.copy == tmp_path / "cache" / f"{fetched.digest}.mar"
    archive.unlink()
    again = cache.fetch(Source(str(archive), fetched.digest))
    assert (again.name, again.copy) == (fetched.name, fetched.copy)


def test_without_a_digest_the_file_is_read_again(archive, cache):
    cache.fetch(Source(str(archive)))
    archive.unlink()
    with pytest.raises(BadArchives, match=f"{archive}: No such file"):
        cache.fetch(Source(str(archive)))


def test_a_kept_file_that_is_damaged_is_fetched_anew(archive, cache):
    fetched = cache.fetch(Source(str(archive)))
    flip_byte(fetched.copy)
    again = cache.fetch(Source(str(archive), fetched.digest))
    assert again.copy.read_bytes() == archive.read_bytes()


def test_a_damaged_archive_is_refused_by_its_address(archive, cache, tmp_path):
    fetched = cache.fetch(Source(str(archive)))
    fetched.copy.unlink()
    flip_byte(archive)
    with pytest.raises(BadArchives, match=f"^{archive}: .*changed") as caught:
        cache.fetch(Source(str(archive), fetched.digest))
    assert "cache" not in str(caught.value)
    assert [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"] == []


def test_another_archive_is_refused(archive, cache):
    digest = "0" * 64
    with pytest.raises(BadArchives, match=f"expected .* {digest}, got model 1.0 .* replaced"):
        cache.fetch(Source(str(archive), digest))


def test_an_archive_is_fetched_by_http(archive, cache):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=archive.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert cache.fetch(Source(f"{url}/affine.mar?signature=secret")).name == "model"
        with pytest.raises(BadArchives) as caught:
            cache.fetch(Source(f"{url}/missing.mar?signature=secret"))
        server.shutdown()
    assert str(caught.value).startswith(f"{url}/missing.mar: ")
    assert "secret" not in str(caught.value)


def test_an_address_is_shown_without_secrets():
    assert str(Source("https://user:secret@host/a.mar?key=secret#x")) == "https://host/a.mar"
    assert str(Source("/folder/a?b.mar")) == "/folder/a?b.mar"


def _fetch(folder, url, digest):
    return Cache(Path(folder)).fetch(Source(url, digest)).digest


@pytest.mark.slow
def test_many_replicas_fetch_at_once(archive, cache, tmp_path):
    digest = cache.fetch(Source(str(archive))).digest
    shutil.rmtree(tmp_path / "cache")
    with ProcessPoolExecutor(4) as pool:
        calls = [pool.submit(_fetch, tmp_path / "cache", str(archive), digest) for _ in range(8)]
        assert [call.result() for call in calls] == [digest] * 8


def test_a_cache_that_others_may_write_to_is_refused(tmp_path):
    tmp_path.chmod(0o777)
    with pytest.raises(BadArchives, match="other users may write"):
        Cache(tmp_path)


def test_what_is_unpacked_goes_once_its_process_has_ended(cache, tmp_path):
    held = cache.make_folder()
    script = (
        "import sys; from pathlib import Path; from eisen_deploy.serving.engines.ray.fetching "
        "import Cache; print(Cache(Path(sys.argv[1])).make_folder())"
    )
    command = [sys.executable, "-c", script, tmp_path / "cache"]
    left = Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
    assert left.exists()
    assert held.exists()
    cache.make_folder()
    assert not left.parent.exists()
    assert held.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="another user's folder")
def test_a_cache_of_another_user_is_refused(tmp_path):
    os.chown(tmp_path, 12345, -1)
    with pytest.raises(BadArchives, match="other users may write"):
        Cache(tmp_path)
