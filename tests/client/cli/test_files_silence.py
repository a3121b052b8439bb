"""Libraries are silent while they read and write for us, and as loud as ever otherwise."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import warnings

import highdicom  # noqa: F401 - it makes its loggers
import nibabel
import numpy as np
import pytest

from eisen_deploy.client import files
from eisen_deploy.client.files.libraries import reading, silence, writing

#: As libraries have them; those of the last are made by nobody before.
LOGGERS = ["nibabel.global", "pydicom", "highdicom.image", "PIL.PngImagePlugin", "pydicom.new.one"]


@pytest.mark.parametrize("block", [silence, lambda: reading("a file"), lambda: writing("a file")])
@pytest.mark.parametrize("name", LOGGERS)
def test_libraries_log_nothing_inside_and_everything_outside(caplog, capfd, block, name):
    with block():
        logging.getLogger(name).error("CANARY")
        logging.getLogger(f"{name}.child_{id(block)}").error("CANARY")
        warnings.warn("CANARY", stacklevel=1)
    assert (caplog.messages, capfd.readouterr().err) == ([], "")
    logging.getLogger(name).error("heard")
    assert caplog.messages == ["heard"]
    with pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard", stacklevel=1)


def test_an_application_s_own_handlers_and_settings_stay(caplog):
    handler = logging.StreamHandler()
    logger = logging.getLogger("highdicom.image")
    logger.addHandler(handler)
    before = [
        (each.level, each.disabled, each.propagate, list(each.handlers), list(each.filters))
        for each in map(logging.getLogger, LOGGERS)
    ]
    with silence():
        pass
    after = [
        (each.level, each.disabled, each.propagate, list(each.handlers), list(each.filters))
        for each in map(logging.getLogger, LOGGERS)
    ]
    logger.removeHandler(handler)
    assert before == after


def test_other_threads_still_log(caplog):
    with silence():
        other = threading.Thread(target=lambda: logging.getLogger("pydicom").error("other"))
        other.start()
        other.join()
        logging.getLogger("pydicom").error("ours")
    assert caplog.messages == ["other"]


def test_two_threads_may_overlap(caplog):
    """Whoever leaves last restores what was there before the first."""
    entered, left = threading.Event(), threading.Event()
    before = list(warnings.filters)

    def first():
        with silence():
            entered.set()
            left.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait(10)
    with silence():
        left.set()
        thread.join()
        warnings.warn("CANARY", stacklevel=1)
    assert warnings.filters == before
    logging.getLogger("pydicom").error("heard")
    assert caplog.messages == ["heard"]


def test_many_threads(tmp_path, caplog):
    before = list(warnings.filters)
    (tmp_path / "x.npy").write_bytes(b"rubbish")

    def read():
        for _ in range(100):
            with pytest.raises(files.UnreadableFile):
                files.read(tmp_path / "x.npy")

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before
    logging.getLogger("pydicom").error("heard")
    assert caplog.messages == ["heard"]


def test_blocks_within_blocks(caplog):
    with silence():
        with silence():
            pass
        logging.getLogger("pydicom").error("CANARY")
        warnings.warn("CANARY", stacklevel=1)
    assert caplog.messages == []


NOISY = """
import logging, sys, warnings
if sys.argv[2] == "loud":
    logging.basicConfig(level=logging.DEBUG)
warnings.simplefilter("always")
from pathlib import Path
import numpy as np
from eisen_deploy.client import files
folder = Path(sys.argv[1])
for name in ("image", "x.png", "x.nii"):
    try:
        image = files.read(folder / name)
    except files.FileError as error:
        assert name == "x.nii", (name, error)
        continue
    if image.grid is not None:
        _, layout = files.to_model(image, None)
        empty = np.zeros((1, 1, *layout.sizes), np.uint8)
        files.save(folder / "seg.dcm", files.from_model(empty, layout))
"""


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("mode", ["quiet", "loud"])
def test_the_standard_error_stays_empty(tmp_path, mode, write_series, make_slices):
    """In a process of its own: some loggers are only made while a file is read."""
    images = make_slices()
    with silence():
        for image in images:
            image.PatientID = "CANARY" * 20  # too long, of which pydicom warns
        write_series(images, "image")
    files.save(tmp_path / "x.png", files.Content(np.eye(5, dtype=np.uint8), 2))
    header = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4))
    raw = bytearray(header.to_bytes())
    raw[40:42] = b"\xff\xff"  # of which nibabel logs
    (tmp_path / "x.nii").write_bytes(raw)
    script = [sys.executable, "-c", NOISY, str(tmp_path), mode]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "seg.dcm").exists()
