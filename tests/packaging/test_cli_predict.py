"""``eisen-pack predict``: an archive on files without a server, as ``eisen-client predict``."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest

from eisen_deploy.client.files.text_files import to_json
from eisen_deploy.packaging import EisenServingMAR, create_metadata
from eisen_deploy.packaging._shared.archive import unpacked_folder, zips
from eisen_deploy.packaging.cli import main

from .tried_parts import SECRET, Busy, Looking, Threshold, Trouble, refusing, scaled

COMMAND = [sys.executable, "-W", "error", "-m", "eisen_deploy.packaging.cli"]
VOLUME = [-1, 1, -1, -1, -1]
METADATA = create_metadata(["image"], ["ndarray"], [VOLUME], ["mask"], ["ndarray"], [VOLUME])
ROW = create_metadata(["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]])


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    return tmp_path_factory.mktemp("zoo")


@pytest.fixture(scope="module")
def segmenter(zoo):
    return EisenServingMAR(scaled, None, METADATA).pack(Threshold(), zoo, "seg", "1.2")


@pytest.fixture(scope="module")
def trouble(zoo):
    packer = EisenServingMAR(refusing, None, ROW)
    return packer.pack(Trouble(), zoo, "trouble", serving={"response_timeout": 4})


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder for temporary files, in which nothing must be left."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def predict(capsys, temporary):
    """Predict, and return exit status, output and errors."""

    def run(*arguments):
        status = main(["predict", *map(str, arguments)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.fixture(scope="session")
def anatomical():
    """A T1 volume that nibabel ships: 33 x 41 x 25 voxels of 2 mm, big-endian."""
    spec = importlib.util.find_spec("nibabel")
    return Path(spec.origin).parent / "tests" / "data" / "anatomical.nii"


def answer_of_the_session(archive, folder, inputs, python):
    """Return what a session in this installation's runtime answers, in a fresh interpreter."""
    folder.mkdir()
    zips.unpack(archive, folder)
    np.savez(folder.with_suffix(".npz"), **inputs)
    script = folder.with_suffix(".py")
    script.write_text(
        "import sys, numpy as np; from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from _eisen_serving.session import InferenceSession\n"
        "handler = InferenceSession.open(Path(sys.argv[1])).handler\n"
        "batch = dict(np.load(sys.argv[2]))\n"
        "data = handler.inference(handler.pre_process(handler.conform(batch)))\n"
        "np.save(sys.argv[3], handler.post_process(data)['mask'])\n"
    )
    python(script, folder, folder.with_suffix(".npz"), folder.with_suffix(".npy"))
    return np.load(folder.with_suffix(".npy"))


# --- answers ------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_mask_is_that_of_the_session_and_lies_where_the_image_lies(
    segmenter, predict, anatomical, tmp_path, python
):
    outputs = (
        "--output",
        f"mask={tmp_path / 'm.nii.gz'}",
        "--output",
        f"mask={tmp_path / 'm.npy'}",
    )
    found = predict(segmenter, "--input", f"image={anatomical}", *outputs, "--provenance")
    status, out, said = found
    assert (status, said) == (0, "")
    assert out.splitlines() == [
        f"{tmp_path / 'm.nii.gz'}: uint8, 33 x 41 x 25",
        f"{tmp_path / 'm.npy'}: uint8, 1 x 1 x 33 x 41 x 25",
    ]
    image, mask = nibabel.load(anatomical), nibabel.load(tmp_path / "m.nii.gz")
    values = np.asanyarray(image.dataobj)[None, None]
    values = values.astype(values.dtype.newbyteorder("="))
    expected = answer_of_the_session(segmenter, tmp_path / "unpacked", {"image": values}, python)
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(np.load(tmp_path / "m.npy"), expected)
    np.testing.assert_array_equal(np.asanyarray(mask.dataobj), expected[0, 0])
    np.testing.assert_array_equal(mask.affine, image.affine)
    for field in ("qform_code", "sform_code", "srow_x", "srow_y", "srow_z", "xyzt_units"):
        np.testing.assert_array_equal(mask.header[field], image.header[field])
    np.testing.assert_array_equal(mask.header["pixdim"][:4], image.header["pixdim"][:4])
    facts = json.loads((tmp_path / "m.nii.gz.provenance.json").read_text())
    digest = json.loads((tmp_path / "unpacked" / "eisen.json").read_text())["digest"]
    assert facts["server"] is None
    assert facts["model"] == {"name": "seg", "version": "1.2", "digest": digest}


@pytest.mark.slow
def test_values_and_json(trouble, predict):
    assert predict(trouble, "--value", "x=[[0, 2.5]]", "--json") == (
        0,
        f"{to_json({'y': [[0.0, 2.5]]}, for_terminal=True)}\n",
        "",
    )


@pytest.mark.slow
def test_the_process_sees_neither_the_folder_nor_the_variables_of_the_user(
    predict, tmp_path, monkeypatch
):
    folder = str(tmp_path)
    archive = EisenServingMAR(None, None, ROW).pack(Looking(folder), tmp_path / "zoo")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EISEN_SEEN", "yes")
    monkeypatch.setenv("PYTHONPATH", folder)
    status, out, _ = predict(archive, "--value", "x=[[0, 0]]", "--json")
    assert (status, json.loads(out)) == (0, {"y": [[0, 0]]})


# --- refusals -----------------------------------------------------------------------------


@pytest.mark.slow
def test_errors_are_those_of_the_client(trouble, predict, tmp_path):
    def err(*arguments):
        status, out, said = predict(trouble, *arguments)
        assert out == ""
        assert said.startswith("eisen-pack: ")
        return status, said

    status, said = err("--value", "x=[[1, 2, 3]]", "--json")
    assert status == 7
    assert f"{trouble}: the batch was not sent: x: expected shape [-1, 2], got [1, 3]; " in said
    assert "eisen-pack inspect shows what the model takes" in said
    status, said = err("--value", "x=[[8, 2]]", "--json")
    assert status == 7
    assert f"{trouble}: the archive answered 422 InvalidInput: this model takes no eights; " in said
    assert err("--value", "z=1", "--json") == (
        2,
        "eisen-pack: the model has no input z: it takes x\n",
    )
    assert err("--input", f"x={tmp_path / 'no.nii'}", "--json")[0] == 3


def test_what_can_be_refused_is_refused_before_the_archive_is_touched(predict, tmp_path):
    there = tmp_path / "there.npy"
    there.touch()
    missing = tmp_path / "no.mar"
    status, _, said = predict(missing, "--value", "x=1", "--output", f"y={there}")
    assert (status, there.read_bytes()) == (4, b"")
    assert said.startswith(f"eisen-pack: y={there}: ")
    assert predict(missing, "--value", "x=1", "--json", "--timeout", "0")[0] == 2
    assert predict(missing, "--value", "x=1", "--json") == (
        2,
        "",
        f"eisen-pack: {missing}: No such file or directory\n",
    )


def test_an_archive_that_was_changed_does_not_run(segmenter, predict, tmp_path):
    digest = ("--digest", "0" * 64)
    status, _, said = predict(segmenter, "--value", "image=1", "--json", *digest)
    assert status == 1
    assert f"{segmenter}: another archive: expected digest {'0' * 64}" in said
    changed = tmp_path / "changed.mar"
    raw = bytearray(segmenter.read_bytes())
    raw[len(raw) // 2] ^= 4
    changed.write_bytes(raw)
    status, out, said = predict(changed, "--value", "image=1", "--json")
    assert (status, out) == (1, "")
    assert said.startswith(f"eisen-pack: {changed}: ")


@pytest.mark.slow
def test_an_archive_that_does_not_load(segmenter, predict, tmp_path):
    """Digests that are right, and a model that no server can read."""
    folder = tmp_path / "forged"
    folder.mkdir()
    zips.unpack(segmenter, folder)
    about = json.loads((folder / "eisen.json").read_text())
    (folder / "model.pt").write_bytes(b"no model")
    unpacked_folder.write(folder, {k: about[k] for k in about if k not in ("files", "digest")})
    zips.write(folder, tmp_path / "forged.mar")
    status, _, said = predict(tmp_path / "forged.mar", "--value", "image=1", "--json")
    assert status == 1
    assert "the archive fails in a clean process: " in said


def test_a_handler_that_only_torchserve_runs_is_refused(predict, traced, tmp_path):
    packer = EisenServingMAR(None, None, {}, handler="image_classifier")
    archive = packer.pack(traced, tmp_path)
    status, _, said = predict(archive, "--value", "x=1", "--json")
    assert status == 2
    assert "its handler image_classifier is TorchServe's" in said


def test_without_the_client_one_line_says_what_to_install():
    code = (
        "import sys; sys.modules['eisen_deploy.client'] = None\n"
        "from eisen_deploy.packaging.cli import main; sys.exit(main(['predict', 'x.mar']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert 'pip install "eisen-deploy-packaging[predict]"' in done.stderr


def test_other_commands_do_not_import_the_client(segmenter):
    code = (
        "import sys; from eisen_deploy.packaging.cli import main; main(sys.argv[1:])\n"
        "print([name for name in sys.modules if name.startswith('eisen_deploy.client')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "inspect", segmenter],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


# --- models that fail ---------------------------------------------------------------------


@pytest.mark.slow
def test_a_model_that_raises_shows_where_and_not_the_text(trouble, predict):
    status, out, said = predict(trouble, "--value", "x=[[1, 4711]]", "--json")
    assert (status, out) == (19, "")
    assert "inference raised ValueError" in said
    assert "tried_parts.py" in said
    assert "in forward" in said
    assert SECRET not in said
    assert "4711" not in said


@pytest.mark.slow
def test_the_text_of_an_error_is_shown_if_it_is_asked_for(trouble, predict, monkeypatch):
    monkeypatch.setenv("EISEN_SHOW_ERRORS", "1")  # that of the user's shell does not count
    assert SECRET not in predict(trouble, "--value", "x=[[1, 4711]]", "--json")[2]
    status, out, said = predict(trouble, "--value", "x=[[1, 4711]]", "--json", "--show-errors")
    assert (status, out) == (19, "")
    text = f"inference raised ValueError: {SECRET}: 4711.0 (tried_parts.py, line "
    *log, last = said.splitlines()
    assert log[0].startswith("EISEN_SHOW_ERRORS: ")
    assert log[1].startswith(text)
    assert f"ValueError: {SECRET}: 4711.0" in log
    assert last.startswith(f"eisen-pack: {trouble}: the archive answered 500 ModelFailed: {text}")
    assert "--show-errors" not in last


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (2, "code of the archive ended the clean process with status 7"),
        (5, "the clean process was killed by SIGSEGV"),
    ],
)
def test_a_model_that_ends_its_process(trouble, predict, what, reason):
    status, _, said = predict(trouble, "--value", f"x=[[{what}, 0]]", "--json")
    assert status == 19
    assert f"eisen-pack: {trouble}: {reason}" in said


@pytest.mark.slow
def test_the_time_that_the_archive_allows(trouble, predict):
    start = time.monotonic()
    status, _, said = predict(trouble, "--value", "x=[[3, 0]]", "--json")
    assert status == 19
    assert "504 TimedOut: inference was not done within the time for a batch: 3 s" in said
    assert "since the archive's response_timeout is 4 s" in said
    assert time.monotonic() - start < 60


@pytest.mark.slow
def test_the_time_that_the_user_allows(trouble, predict):
    status, _, said = predict(trouble, "--value", "x=[[3, 0]]", "--json", "--timeout", "1")
    assert status == 17
    assert "no whole reply within 1 s" in said


@pytest.mark.slow
def test_what_a_model_prints_and_reads_stays_out_of_the_answer(trouble, predict):
    status, out, _ = predict(trouble, "--value", "x=[[4, 0]]", "--json")
    assert (status, out) == (19, "")  # there is nothing to read


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
@pytest.mark.parametrize(
    ("number", "status", "told"),
    [(signal.SIGTERM, 143, ""), (signal.SIGINT, 130, "eisen-pack: interrupted\n")],
)
def test_a_signal_leaves_nothing_behind(tmp_path, temporary, started_command, number, status, told):
    """It comes while the model runs, in native code and with a process of its own."""
    archive = EisenServingMAR(None, None, ROW).pack(Busy(), tmp_path / "zoo")
    output = f"y={tmp_path / 'y.npy'}"
    process = started_command("predict", archive, "--value", "x=[[1, 2]]", "--output", output)
    deadline = time.monotonic() + 120
    while not (started := list(temporary.glob("*/work/started"))):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(0.5)
    pid = int(started[0].read_text())
    process.send_signal(number)
    said = process.communicate(timeout=30)[1]
    assert (process.returncode, said) == (status, told)
    assert not (tmp_path / "y.npy").exists()
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    assert not state or state.startswith("Z")
