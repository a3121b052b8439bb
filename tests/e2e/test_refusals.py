"""A damaged archive on a real TorchServe: refused with a reason, never served."""

from __future__ import annotations

import zipfile

import pytest

from eisen_deploy.serving.engines.torchserve.launcher import LaunchFailed, TorchServe


def repacked(archive, target, name):
    """Copy an archive with one byte of one file flipped, as a valid zip."""
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(target, "w") as copy:
        for info in source.infolist():
            raw = bytearray(source.read(info))
            if info.filename == name:
                raw[len(raw) // 2] ^= 1
            copy.writestr(info, bytes(raw))


def flipped(archive, target, name):
    """Copy an archive with one byte flipped in the zip itself."""
    raw = bytearray(archive.read_bytes())
    content = zipfile.ZipFile(archive).read(name)
    raw[raw.index(content) + len(content) // 2] ^= 1
    target.write_bytes(raw)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (repacked, "model.pt was changed: its SHA-256 is not the one that was packed"),
        (flipped, "the model did not load: model.mar .*invalid entry CRC"),
    ],
)
def test_a_damaged_model_is_refused(server_python, model_zoo, tmp_path, damage, reason):
    store = tmp_path / "model_zoo"
    store.mkdir()
    damage(model_zoo / "model.mar", store / "model.mar", "model.pt")
    config = {"default_workers_per_model": "1"}
    server = TorchServe(
        tmp_path / "server", store, ["model.mar"], config=config, python=str(server_python)
    )
    with server, pytest.raises(LaunchFailed, match=reason):
        server.wait_ready("model", timeout=30)
    assert not server.processes()
