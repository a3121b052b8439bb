"""``eisen-pack verify``: sound archives pass, and each kind of damage is found and named."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
import torch

from eisen_deploy.packaging import EisenServingMAR, create_metadata
from eisen_deploy.packaging._shared.archive import unpacked_folder, zips
from eisen_deploy.packaging.cli import main


@pytest.fixture
def archive(packer, tmp_path):
    return packer.pack(torch.nn.Linear(2, 2), tmp_path / "zoo")


@pytest.fixture
def verify(capsys):
    """Verify, and return exit status, lines of output and lines of the error."""

    def run(*arguments):
        status = main(["verify", *map(str, arguments)])
        said = capsys.readouterr()
        return status, said.out.splitlines(), said.err.splitlines()

    return run


def digest_of(path):
    with zipfile.ZipFile(path) as opened:
        return json.loads(opened.read("eisen.json"))["digest"]


def repack(path, folder, change):
    """Write an archive anew with other files, and with their old digests."""
    folder.mkdir()
    zips.unpack(path, folder)
    change(folder)
    path.unlink()
    zips.write(folder, path)


def test_structure_and_digests(archive, verify):
    status, lines, errors = verify("--no-run", archive)
    assert (status, errors) == (0, [])
    assert lines[0].startswith("structure ")
    assert lines[1] == f"digests     sha-256 {digest_of(archive)}"
    assert lines[2:] == [f"{archive} is sound"]


@pytest.mark.slow
def test_a_clean_process_loads_it(archive, verify):
    status, lines, errors = verify(archive)
    assert (status, errors) == (0, [])
    assert lines[2].startswith("process     clean, loaded in ")
    assert lines[2].endswith("there is no sample to predict")


@pytest.mark.slow
def test_a_clean_process_predicts_the_sample(tmp_path, verify):
    metadata = create_metadata(["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]])
    sample = {"x": np.ones((1, 2), np.float32)}
    packer = EisenServingMAR(None, None, metadata)
    status, lines, errors = verify(packer.pack(torch.nn.Linear(2, 2), tmp_path, sample=sample))
    assert (status, errors) == (0, [])
    assert lines[2].startswith("process     clean, sample predicted in ")


@pytest.mark.slow
def test_an_archive_that_does_not_load_is_not_sound(archive, verify, tmp_path):
    """Digests that are right, and a model that no server can read."""

    def change(folder):
        about = json.loads((folder / "eisen.json").read_text())
        (folder / "model.pt").write_bytes(b"no model")
        unpacked_folder.write(folder, {k: about[k] for k in about if k not in ("files", "digest")})

    repack(archive, tmp_path / "f", change)
    assert verify("--no-run", archive)[0] == 0
    status, lines, errors = verify(archive)
    assert status == 1
    assert not any("is sound" in line for line in lines)
    assert errors[0].startswith(f"eisen-pack: {archive}: ")


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("prefix", ["", "sha256:", "sha-256=", "SHA256:"])
def test_the_digest_that_is_expected(archive, verify, prefix):
    expected = prefix + digest_of(archive).upper()
    assert verify("--no-run", "--digest", expected, archive)[0] == 0


def test_an_older_archive_put_back(archive, verify):
    status, lines, errors = verify("--digest", "0" * 64, archive)
    assert status == 1
    told = f"another archive: expected digest {'0' * 64}, got {digest_of(archive)}"
    assert errors == [f"eisen-pack: {archive}: {told}"]
    assert len(lines) == 2  # it was not run


@pytest.mark.parametrize("digest", ["", "0" * 63, "0" * 65, "g" * 64, "md5:" + "0" * 64])
def test_a_malformed_digest_is_refused(archive, verify, digest):
    status, _, errors = verify("--digest", digest, archive)
    assert status == 2
    assert "expected 64 hexadecimal digits" in errors[-1]


@pytest.mark.slow  # a second or two
def test_each_flipped_byte_is_found(archive, verify):
    raw = archive.read_bytes()
    for position in range(0, len(raw), len(raw) // 60):
        damaged = bytearray(raw)
        damaged[position] ^= 4
        archive.write_bytes(damaged)
        status, _, errors = verify("--no-run", archive)
        assert status == 1, position
        assert errors[0].startswith(f"eisen-pack: {archive}: ")


def test_an_archive_that_is_cut_off(archive, verify):
    archive.write_bytes(archive.read_bytes()[:-1000])
    assert verify("--no-run", archive)[0] == 1


def test_another_file_with_a_right_checksum_of_the_zip(archive, verify, tmp_path):
    repack(archive, tmp_path / "f", lambda folder: (folder / "metadata.json").write_text("{ }"))
    status, _, errors = verify("--no-run", archive)
    assert status == 1
    assert "metadata.json" in errors[0]


def test_every_file_that_is_wrong_has_a_line(archive, verify, tmp_path):
    def change(folder):
        (folder / "model.pt").unlink()
        (folder / "extra").write_text("x")

    repack(archive, tmp_path / "f", change)
    errors = verify("--no-run", archive)[2]
    assert [line.rpartition(": ")[2] for line in errors] == [
        "model.pt is missing",
        "extra does not belong to the archive",
    ]


def test_a_missing_file_is_an_error(verify, tmp_path):
    status, _, errors = verify(tmp_path / "no.mar")
    assert status == 2
    assert errors == [f"eisen-pack: {tmp_path / 'no.mar'}: No such file or directory"]


def test_nothing_is_left_behind(archive, verify, tmp_path, monkeypatch):
    import tempfile

    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    assert verify("--no-run", archive)[0] == 0
    archive.write_bytes(archive.read_bytes()[:-1000])
    assert verify("--no-run", archive)[0] == 1
    assert list((tmp_path / "temporary").iterdir()) == []
