"""``eisen-client`` against a real TorchServe, with the MNI template and a series made of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import highdicom
import nibabel
import numpy as np
import pytest

from eisen_deploy.serving.engines.torchserve.launcher import TorchServe

pytestmark = pytest.mark.torchserve

HERE = Path(__file__).resolve().parent
LIMIT = 40 * 2**20


@pytest.fixture(scope="module")
def server(server_python, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    subprocess.run([sys.executable, HERE / "pack_threshold.py", folder / "zoo"], check=True)
    config = {
        "default_workers_per_model": "1",
        "max_request_size": str(LIMIT),
        "max_response_size": str(LIMIT),
    }
    server = TorchServe(
        folder / "server", folder / "zoo", ["seg.mar"], config=config, python=str(server_python)
    )
    with server:
        server.wait_ready("seg")
        yield server


@pytest.fixture
def run(server):
    def call(command, *arguments):
        line = [sys.executable, "-W", "error", "-m", "eisen_deploy.client.cli", command]
        line += [f"{server.inference_url}/predictions/seg", *map(str, arguments)]
        line += ["--token-file", str(server.folder / "key_file.json"), "--timeout", "120"]
        done = subprocess.run(line, capture_output=True, text=True, timeout=200, check=False)
        return done.returncode, done.stdout, done.stderr

    return call


def test_wait_check_and_metadata(run):
    assert run("wait") == (0, "ready\n", "")
    status, told, err = run("check", "--size", "16MiB")
    assert (status, err) == (0, "")
    assert "takes requests of 16.8 MB" in told
    status, told, _ = run("check", "--size", "48MiB")
    assert status == 15
    assert "limits" in told
    assert "raise max_request_size" in told
    assert "image  ndarray  [-1, 1, -1, -1, -1]" in run("metadata")[1]


def test_check_of_a_wrong_token(server, tmp_path):
    (tmp_path / "key").write_text("wrong")
    url = f"{server.inference_url}/predictions/seg"
    line = [sys.executable, "-m", "eisen_deploy.client.cli", "check", url]
    done = subprocess.run(
        [*line, "--token-file", tmp_path / "key"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 13
    assert "token       failed" in done.stdout
    assert subprocess.run(line, capture_output=True, check=False).returncode == 13


def test_a_real_volume_and_a_series_of_it(run, mni, write_series, slices, tmp_path):
    source = nibabel.load(mni)
    values = np.asanyarray(source.dataobj)
    masks = {}
    for name, image in {"nifti": mni, "dicom": write_series(slices(values, source.affine))}.items():
        out = tmp_path / f"{name}.nii.gz"
        status, told, err = run("predict", "--input", f"image={image}", "--output", f"mask={out}")
        assert (status, err) == (0, "")
        assert told == f"{out}: uint8, {' x '.join(map(str, nibabel.load(out).shape))}\n"
        masks[name] = nibabel.load(out)
    np.testing.assert_array_equal(masks["nifti"].affine, source.affine)
    expected = values > values.mean()
    np.testing.assert_array_equal(np.asanyarray(masks["nifti"].dataobj), expected)
    one, other = map(nibabel.as_closest_canonical, (masks["nifti"], masks["dicom"]))
    np.testing.assert_allclose(one.affine, other.affine, atol=1e-4)
    np.testing.assert_array_equal(one.get_fdata(), other.get_fdata())


def test_what_is_written_names_the_archive_that_was_served(
    run, server, series, anatomical, tmp_path
):
    """The address has no version: name, version and digest are those that the server says."""
    archive = server.folder.parent / "zoo" / "seg.mar"
    inspect = [sys.executable, "-m", "eisen_deploy.packaging.cli", "inspect"]
    told = subprocess.run([*inspect, archive], capture_output=True, text=True, check=True).stdout
    inspected = json.loads(subprocess.check_output([*inspect, "--json", archive]))
    expected = {key: inspected["model"][key] for key in ("name", "version")}
    expected["digest"] = inspected["digest"]
    assert all(value in told for value in expected.values())

    out = tmp_path / "mask.dcm"
    status, _, err = run("predict", "--input", f"image={series}", "--output", f"mask={out}")
    assert (status, err) == (0, "")
    (segment,) = highdicom.seg.segread(out).SegmentSequence
    assert segment.SegmentLabel == "Bright"
    (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
    found = dict(part.split("=") for part in algorithm.AlgorithmParameters.split(","))
    assert algorithm.AlgorithmName == found["model"] == expected["name"]
    assert algorithm.AlgorithmVersion == found["version"] == expected["version"]
    assert found["archive-sha-256"] == expected["digest"]

    out = tmp_path / "mask.nii"
    arguments = ["--input", f"image={anatomical}", "--output", f"mask={out}", "--provenance"]
    assert run("predict", *arguments)[0] == 0
    facts = json.loads((tmp_path / "mask.nii.provenance.json").read_text("utf-8"))
    assert facts["model"] == expected
    assert facts["request_id"]
