"""Real archives: what is wrong with them, and with a configuration for them."""

from __future__ import annotations

import json
import zipfile

import pytest

from eisen_deploy.serving.doctor import ERROR, WARNING
from eisen_deploy.serving.doctor.checks import archives
from eisen_deploy.serving.doctor.facts.model_store import read_archive

FIXED = [-1, 64, 64, 64, 8]  # 8 MiB of float32

ALL = {
    *("archive-missing", "archive-damaged", "archives-alike", "archive-hides-timeout"),
    "gpu-missing",
}


def foreign(path, name="other", version="1.0", options=None):
    manifest = {"model": {"modelName": name, "modelVersion": version, "handler": "h.py"}}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
        if options is not None:
            archive.writestr("model-config.yaml", options)
    return path


def test_these_are_all_checks_of_archives():
    assert {check.name for check in archives.AREA.checks} == ALL


def test_a_sound_archive_has_no_findings(doctor):
    doctor.pack()
    assert not {*ALL, "request-limit-too-small"} & doctor.names().keys()


def test_archives_that_are_not_there(doctor):
    doctor.pack()
    assert "archive-missing" not in doctor.names("load_models=one=seg.mar")
    assert doctor.names("load_models=seg.mar,brain.mar")["archive-missing"] == ERROR


def test_one_changed_byte_is_found_and_named(doctor):
    path = doctor.pack()
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    report = doctor.examine()
    assert "archive-damaged" in {each.name for each in report.findings}
    assert any("CRC-32" in each.found for each in report.findings)


def test_a_file_that_is_no_archive(doctor):
    (doctor.store / "seg.mar").write_text("not a zip")
    assert doctor.names()["archive-damaged"] == ERROR


def test_two_archives_with_one_name(doctor):
    doctor.pack(file="one.mar")
    doctor.pack(file="two.mar")
    assert doctor.names()["archives-alike"] == ERROR
    assert "archives-alike" not in doctor.names("load_models=one.mar")
    (doctor.store / "two.mar").unlink()
    doctor.pack(file="two.mar", version="2.0")
    assert doctor.names()["archives-alike"] == WARNING


def test_options_that_hide_the_servers_timeout(doctor):
    doctor.pack(serving={"batch_size": 1})
    assert doctor.names()["archive-hides-timeout"] == WARNING
    for default in ("120", "300"):  # TorchServe's, and the one that eisen-serve writes
        both = {"default_response_timeout": default, "default_startup_timeout": default}
        assert "archive-hides-timeout" not in doctor.names(**both)
    doctor.pack(serving={"batch_size": 1, "startup_timeout": 60}, overwrite=True)
    (found,) = [each for each in doctor.examine().findings if each.name == "archive-hides-timeout"]
    assert found.found == "seg.mar: response timeout 120 s, the server's is 600 s"


def test_options_with_both_timeouts_hide_nothing(doctor):
    doctor.pack(serving={"response_timeout": 60, "startup_timeout": 60})
    assert "archive-hides-timeout" not in doctor.names()


def test_a_gpu_that_there_is_not(doctor):
    doctor.pack(serving={"device": "cuda"})
    assert doctor.names()["gpu-missing"] == ERROR
    doctor.environment["CUDA_VISIBLE_DEVICES"] = "0"
    assert "gpu-missing" not in doctor.names()
    assert "gpu-missing" in doctor.names("number_of_gpu=0")


def test_archives_of_others_are_read_as_far_as_that_goes(doctor):
    foreign(
        doctor.store / "other.mar", options="deviceType: gpu\nminWorkers: 3 # three\nx:\n - 1\n"
    )
    assert doctor.names()["gpu-missing"] == WARNING
    archive = read_archive(doctor.store / "other.mar")
    assert archive.option("minWorkers", {}) == 3
    assert archive.option("batchSize", {"other": {"1.0": {"batchSize": 4}}}) == 4


@pytest.mark.parametrize("name", ["request", "response"])
def test_limits_below_what_the_metadata_declares(doctor, name):
    doctor.pack(shape=FIXED)
    assert doctor.names()[f"{name}-limit-too-small"] == ERROR
    enough = {f"max_{name}_size": "8388608"}
    assert f"{name}-limit-too-small" not in doctor.names(**enough)


def test_the_remedy_is_large_enough(doctor):
    doctor.pack(shape=FIXED)
    for finding in doctor.examine().findings:
        if finding.name == "request-limit-too-small":
            name, _, value = finding.remedy.partition("=")
            assert "request-limit-too-small" not in doctor.names(**{name: value})
            return
    pytest.fail("it was not found")


def test_workers_that_do_not_fit_into_the_memory(doctor):
    doctor.pack(serving={"workers": 100_000})
    found = doctor.names()
    assert found["workers-exceed-memory"] == WARNING
    assert found["workers-exceed-cores"] == WARNING


def test_one_worker_for_each_model_is_never_too_many(doctor):
    for number in range(5):
        foreign(doctor.store / f"m{number}.mar", name=f"m{number}")
    assert "workers-exceed-cores" not in doctor.names()


def test_a_store_that_cannot_be_listed_is_reported(doctor):
    doctor.store.rmdir()
    report = doctor.examine()
    assert "model-store-missing" in {each.name for each in report.findings}
    assert any("archives" in each for each in report.unexamined)
