"""What a worker reports, as it writes it and as ``eisen-serve`` reads it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from eisen_deploy.serving.engines.torchserve.worker_reports import WorkerReport, WorkerReports
from eisen_deploy.serving.runtime.errors import LoadFailed, NotVerified
from eisen_deploy.serving.runtime.torchserve import load_report

SEG = SimpleNamespace(name="seg", version="1.0")
CRASH = """\
Fatal Python error: Segmentation fault

Thread 0x1 (most recent call first):
  File "/a/other.py", line 1 in wait

Current thread 0x2 (most recent call first):
  File "/a/net.py", line 7 in forward
  File "/a/torch.py", line 9 in call

Extension modules: numpy (total: 1)
"""
#: A worker whose native code crashes.
CRASHING = """
import ctypes
from eisen_deploy.serving.runtime.torchserve.load_report import LoadReport

def read_nothing():
    ctypes.string_at(0)

with LoadReport(("seg", "1.0")):
    read_nothing()
"""


@pytest.fixture
def reports(tmp_path, monkeypatch):
    monkeypatch.setenv(load_report.FOLDER, str(tmp_path / "reports"))
    found = WorkerReports(tmp_path / "reports")
    found.clear()
    opened = []
    monkeypatch.setattr("faulthandler.enable", lambda *files: opened.extend(files))  # for pytest
    yield found
    logging.getLogger().filters.clear()
    for file in opened:
        file.close()


def fail(error, version="1.0"):
    with pytest.raises(type(error)), load_report.LoadReport(("seg", version)):
        raise error


def test_a_worker_that_begins(reports):
    with load_report.LoadReport(("seg", "1.0")):
        (report,) = reports.read(SEG)
    assert (report.pid, report.state) == (os.getpid(), load_report.BEGUN)
    assert report.is_running
    assert report.explain_end() is None
    assert reports.read(SimpleNamespace(name="seg", version="2")) == []


@pytest.mark.parametrize(
    ("error", "state", "cause"),
    [
        (LoadFailed("no layer\nnamed x"), load_report.REFUSED, "no layer named x"),
        (NotVerified("model.pt was changed"), load_report.NOT_VERIFIED, "model.pt was changed"),
        (ValueError("no weights"), load_report.REFUSED, "ValueError: no weights"),
        (SystemExit(3), load_report.REFUSED, "SystemExit: 3"),
        (MemoryError(), load_report.REFUSED, "MemoryError"),
        (ValueError("\udcff" * 9000), load_report.REFUSED, "ValueError: " + "\udcff" * 1988),
    ],
)
def test_a_worker_that_refuses_its_archive(reports, error, state, cause):
    fail(error)
    (report,) = reports.read(SEG)
    assert (report.state, report.explain_end()) == (state, cause)


def die_as_torchserves_worker_does(error):
    logging.error("Backend worker process died.", exc_info=error)  # noqa: LOG015


def test_a_worker_that_dies_of_an_exception(reports):
    with load_report.LoadReport(("seg", "1.0")):
        pass
    die_as_torchserves_worker_does(MemoryError())
    (report,) = reports.read(SEG)
    assert (report.state, report.explain_end()) == (load_report.DIED, "MemoryError")


def test_what_follows_from_a_refusal_does_not_hide_it(reports):
    fail(LoadFailed("no layer"))
    die_as_torchserves_worker_does(RuntimeError("500 - Unknown exception"))
    (report,) = reports.read(SEG)
    assert (report.state, report.explain_end()) == (load_report.REFUSED, "no layer")


def test_of_an_archive_that_was_exchanged_the_version_is_not_believed(reports):
    fail(NotVerified("model.pt was changed"), version="2")
    assert len(reports.read(SEG)) == 1
    fail(LoadFailed("no layer"), version="2")
    assert reports.read(SEG) == []


def test_a_worker_whose_native_code_crashes(reports, monkeypatch):
    monkeypatch.setenv(load_report.TRACES, "1")
    crashed = subprocess.run([sys.executable, "-c", CRASHING], check=False, capture_output=True)
    assert crashed.returncode < 0
    (report,) = reports.read(SEG)
    assert not report.is_running
    assert report.explain_end().startswith("the worker crashed: Segmentation fault at __init__.py")
    assert "<string>:6 in read_nothing" in report.find_place()
    reports.remove(report.pid)
    reports.clear()
    assert [path.name for path in reports.folder.iterdir()] == ["crash.txt"]
    assert "Segmentation fault" in (reports.folder / "crash.txt").read_text()


def test_where_a_worker_crashed():
    report = WorkerReport(41, ("seg", "1.0"), load_report.BEGUN, "", CRASH)
    assert report.explain_end() == (
        "the worker crashed: Segmentation fault at net.py:7 in forward, torch.py:9 in call"
    )


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.delenv(load_report.FOLDER, raising=False)
    monkeypatch.chdir(tmp_path)
    fail(LoadFailed("no layer"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_keeps_no_model_from_being_served(reports):
    reports.folder.rmdir()
    with load_report.LoadReport(("seg", "1.0")):
        pass
    assert reports.read() == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        "[" * 60000,
        "{" * 100,
        '"seg"',
        json.dumps({"name": "seg", "version": "1.0", "state": "begun"}),
        json.dumps({"name": "seg", "version": "1.0", "state": "died", "message": "x" * 2**17}),
    ],
)
def test_what_is_no_report_is_none(reports, text):
    (reports.folder / "41.json").write_text(text)
    assert reports.read(SEG) == []


def test_other_files_are_no_reports(reports):
    fail(LoadFailed("no layer"))
    report = (reports.folder / f"{os.getpid()}.json").rename(reports.folder / "report")
    for name in ("0.json", "-1.json", "12345678.json", "seg.json", "41.part"):
        (reports.folder / name).write_bytes(report.read_bytes())
    os.mkfifo(reports.folder / "42.json")
    (reports.folder / "43.json").mkdir()
    assert reports.read() == []
