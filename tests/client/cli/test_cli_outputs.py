"""Outputs of ``eisen-client predict``: none costs another, and each can say where it is from."""

from __future__ import annotations

import hashlib
import json
import re
import sys

import highdicom
import nibabel
import numpy as np
import pytest

from eisen_deploy.client._version import client_version

VOLUME = [-1, 1, -1, -1, -1]
DIGEST = "0123456789abcdef" * 4
NAMED = {
    "Eisen-Model-Name": "liver.seg",
    "Eisen-Model-Version": "2.1",
    "Eisen-Archive-Digest": f"sha-256={DIGEST}",
    "x-request-id": "request-7",
}


@pytest.fixture
def named(serve, http):
    """Serve a model whose replies say which one it is: ``named(function, custom) -> server``."""

    def start(function, custom=None, outputs=("mask",)):
        fields = [{"name": name, "type": "ndarray", "shape": VOLUME} for name in outputs]
        metadata = {
            "inputs": [{"name": "image", "type": "ndarray", "shape": VOLUME}],
            "outputs": fields,
            "custom": custom or {},
        }

        def script(peer):
            while (request := peer.receive()) is not None:
                if request.body:
                    server.asked.append(request.decode().inputs)
                    peer.send(http.oip(function(**server.asked[-1]), NAMED))
                else:
                    peer.send(http.reply(200, body=json.dumps(metadata).encode()))

        server = serve(script)
        server.asked = []
        return server

    return start


def mask_of(image):
    return {"mask": (image > image.mean()).astype(np.uint8)}


# --- one that cannot be written -----------------------------------------------------------


def test_an_output_that_cannot_be_written_costs_no_other(named, predict, series, tmp_path):
    server = named(lambda image: {"mask": image > 0, "heat": image / 7}, outputs=("mask", "heat"))
    outputs = {name: tmp_path / name for name in ("a.nii", "b.dcm", "c.npy", "d.png", "e.dcm")}
    status, told, err = predict(
        server,
        *("--input", f"image={series}"),
        *("--output", f"heat={outputs['b.dcm']}", "--output", f"heat={outputs['d.png']}"),
        *("--output", f"mask={outputs['a.nii']}", "--output", f"heat={outputs['c.npy']}"),
        *("--output", f"mask={outputs['e.dcm']}"),
    )
    assert status == 4
    lines = err.splitlines()
    assert [line.split("=")[0] for line in lines] == ["eisen-client: heat", "eisen-client: heat"]
    assert "whole numbers from 0 to 65535" in lines[0]
    assert "d.png" in lines[1]
    written = [outputs[name] for name in ("a.nii", "c.npy", "e.dcm")]
    assert sorted(path for path in tmp_path.iterdir() if path.is_file()) == written
    assert [line.split(": ")[0] for line in told.splitlines()] == list(map(str, written))
    assert nibabel.load(outputs["a.nii"]).shape == server.asked[0]["image"].shape[2:]


def test_the_status_is_that_of_the_first_failure(named, predict, anatomical, tmp_path):
    server = named(lambda image: {"mask": image[..., ::2] + 0.5})
    arguments = ["--input", f"image={anatomical}", "--debug"]
    nifti, png = f"mask={tmp_path / 'm.nii'}", f"mask={tmp_path / 'm.png'}"
    first = predict(server, *arguments, "--output", nifti, "--output", png)
    second = predict(server, *arguments, "--output", png, "--output", nifti)
    assert (first[0], second[0]) == (5, 4)
    assert first[2].count("Traceback") == second[2].count("Traceback")
    assert len(re.findall("^eisen-client: ", first[2], re.MULTILINE)) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_appears_meanwhile_is_kept(named, predict, anatomical, tmp_path):
    def function(image):
        (tmp_path / "a.nii").write_bytes(b"precious")
        return mask_of(image)

    status, _, err = predict(
        named(function),
        *("--input", f"image={anatomical}"),
        *("--output", f"mask={tmp_path / 'a.nii'}", "--output", f"mask={tmp_path / 'b.nii'}"),
    )
    assert status == 4
    assert "a.nii: exists already" in err
    assert (tmp_path / "a.nii").read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.nii", "b.nii"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit for files")
def test_a_file_that_the_system_does_not_take(named, predict, anatomical, tmp_path):
    """It is named, and the next one is tried."""
    import resource

    server = named(
        lambda image: {**mask_of(image), "heat": image[0, 0, 0, 0, :1]}, outputs=("mask", "heat")
    )
    large, small = tmp_path / "large.npy", tmp_path / "small.npy"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        status, _, err = predict(
            server,
            *("--input", f"image={anatomical}"),
            *("--output", f"mask={large}", "--output", f"heat={small}"),
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert status == 4
    assert err == f"eisen-client: mask={large}: cannot be written: File too large\n"
    assert list(tmp_path.iterdir()) == [small]


def test_printed_outputs_are_printed_all_the_same(named, predict, anatomical, tmp_path):
    server = named(
        lambda image: {"mask": image[..., ::2], "heat": image.ravel()[:2]},
        outputs=("mask", "heat"),
    )
    out = f"mask={tmp_path / 'm.nii'}"
    status, told, _ = predict(server, "--input", f"image={anatomical}", "--output", out, "--json")
    assert status == 5
    assert list(json.loads(told)) == ["heat"]


def test_an_output_that_the_model_does_not_give(model, predict, tmp_path):
    server = model(lambda x: {"y": x}, {"x": [-1]}, {})  # it declares none
    arguments = ["--value", "x=[1]", "--output", f"z={tmp_path / 'z.npy'}", "--json"]
    status, told, err = predict(server, *arguments)
    assert status == 4
    assert "the model gave no such output: y" in err
    assert json.loads(told) == {"y": [1]}


# --- which model it was -------------------------------------------------------------------


def test_a_segmentation_names_model_and_program(named, predict, series, tmp_path):
    out = tmp_path / "m.dcm"
    server = named(mask_of)
    status, _, err = predict(server, "--input", f"image={series}", "--output", f"mask={out}")
    assert (status, err) == (0, "")
    segmentation = highdicom.seg.segread(out)
    (algorithm,) = segmentation.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("liver.seg", "2.1")
    parameters = segmentation.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence
    assert highdicom.AlgorithmIdentificationSequence.from_sequence(parameters).parameters == {
        "model": "liver.seg",
        "version": "2.1",
        "archive-sha-256": DIGEST,
    }
    ours = [
        item
        for item in segmentation.ContributingEquipmentSequence
        if item.Manufacturer == "Eisen-Deploy"
    ]
    (equipment,) = ours
    assert equipment.ManufacturerModelName == "eisen-client"
    assert equipment.SoftwareVersions == segmentation.SoftwareVersions == client_version()
    (purpose,) = equipment.PurposeOfReferenceCodeSequence
    assert (purpose.CodeValue, purpose.CodingSchemeDesignator) == ("109102", "DCM")


def test_a_model_that_the_reply_does_not_name(serve, http, predict, series, tmp_path):
    """The address does not say which model answered."""
    body = b'{"outputs": [{"name": "mask", "datatype": "BOOL", "shape": [%s], "data": [%s]}]}'

    def script(peer):
        while (request := peer.receive()) is not None:
            if not request.body:
                peer.send(http.reply(200, body=b"{}"))
                continue
            image = request.decode().inputs["image"]
            shape, data = ",".join(map(str, image.shape)), ",".join(["true"] * image.size)
            reply = body % (shape.encode(), data.encode())
            peer.send(http.reply(200, {"Content-Type": "application/json"}, reply))

    out = tmp_path / "m.dcm"
    url = f"{serve(script).url}/3.0"
    status, _, err = predict(url, "--input", f"image={series}", "--output", f"mask={out}")
    assert status == 0
    assert err == (
        "eisen-client: note: the model's name and version stay unknown: the server's reply lacks "
        "them\n"
    )
    (segment,) = highdicom.seg.segread(out).SegmentSequence
    (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("unknown", "unknown")


def test_segments_that_the_metadata_declare(named, predict, series, tmp_path):
    custom = {
        "segments": [
            {"number": 1, "label": "Liver", "code": "SCT:10200004", "color": "#dd8265"},
            {"number": 2, "label": "Spleen", "color": [1, 2]},
            {"number": 2, "label": "Milz", "output": "mask"},
        ]
    }
    server = named(mask_of, custom)
    out = tmp_path / "m.dcm"
    arguments = ["--input", f"image={series}", "--output", f"mask={out}"]
    status, _, err = predict(server, *arguments)
    assert status == 0
    assert err == (
        "eisen-client: note: custom.segments[1] of the metadata is not used: color: expected "
        'three numbers from 0 to 255, or "#RRGGBB"\n'
    )
    found = highdicom.seg.segread(out).SegmentSequence
    assert [item.SegmentLabel for item in found] == ["Liver", "Milz"]
    assert "RecommendedDisplayCIELabValue" in found[0]
    predict(server, *arguments, "--segment", "1=Leber", "--overwrite")
    found = highdicom.seg.segread(out).SegmentSequence
    assert [item.SegmentLabel for item in found] == ["Leber", "Milz"]
    nifti = ["--input", f"image={series}", "--output", f"mask={tmp_path / 'm.nii'}"]
    assert predict(server, *nifti)[2] == ""
    told = predict(server, *nifti, "--overwrite", "--segment", "1=Leber")[2]
    assert told.startswith("eisen-client: note: --segment is not used")


# --- provenance ---------------------------------------------------------------------------


def test_provenance(named, predict, anatomical, tmp_path):
    server = named(mask_of)
    out, beside = tmp_path / "m.nii.gz", tmp_path / "m.nii.gz.provenance.json"
    url = server.url.replace("http://", "http://user:hunter2@") + "?key=hunter2"
    status, told, err = predict(
        url, "--input", f"image={anatomical}", "--output", f"mask={out}", "--provenance"
    )
    assert (status, err) == (0, "")
    assert told.count("\n") == 1
    facts = json.loads(beside.read_text("utf-8"))
    (sent,) = server.asked
    hashed = hashlib.sha256(np.asarray(nibabel.load(anatomical).dataobj).astype("<i2").tobytes())
    created = facts.pop("created")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", created)
    assert facts == {
        "schema": "eisen-deploy-provenance/1",
        "client": {"name": "eisen-deploy-client", "version": client_version()},
        "server": server.url,
        "request_id": "request-7",
        "model": {"name": "liver.seg", "version": "2.1", "digest": DIGEST},
        "inputs": {
            "image": {
                "type": "ndarray",
                "dtype": "int16",
                "shape": list(sent["image"].shape),
                "sha256": hashed.hexdigest(),
            }
        },
        "outputs": {
            "mask": {"type": "ndarray", "dtype": "uint8", "shape": list(sent["image"].shape)}
        },
        "file": {"sha256": hashlib.sha256(out.read_bytes()).hexdigest()},
    }
    assert "anatomical" not in beside.read_text("utf-8")


def test_provenance_of_all_outputs_and_of_values(model, predict, tmp_path):
    server = model(
        lambda x, sex: {"y": x, "note": sex}, {"x": [-1], "sex": "str"}, {"y": [-1], "note": "str"}
    )
    out = tmp_path / "o.npz"
    (tmp_path / "n.txt").write_text("old")
    arguments = ["--value", "x=[1, 2]", "--value", "sex=SECRET", "--provenance", "--overwrite"]
    note = ["--output", f"note={tmp_path / 'n.txt'}", "--output", f"y={tmp_path / 'y.npy'}"]
    assert predict(server, *arguments, *note)[0] == 0
    text = (tmp_path / "n.txt.provenance.json").read_text("utf-8")
    assert "SECRET" not in text
    facts = json.loads(text)
    assert facts["inputs"]["sex"] == {"type": "str"}
    assert facts["outputs"] == {"note": {"type": "str"}}
    assert facts["model"] == {"name": "seg", "version": "1.0", "digest": None}
    arguments = ["--value", "x=[1, 2]", "--value", "sex=f", "--provenance"]
    server = model(lambda x, sex: {"y": x, "z": x}, {"x": [-1], "sex": "str"}, {})
    assert predict(server, *arguments, "--output", out)[0] == 0
    facts = json.loads((tmp_path / "o.npz.provenance.json").read_text("utf-8"))
    assert set(facts["outputs"]) == {"y", "z"}


def test_provenance_that_is_in_the_way(named, predict, anatomical, tmp_path):
    server = named(mask_of)
    beside = tmp_path / "m.npy.provenance.json"
    beside.write_text("precious")
    arguments = ["--input", f"image={anatomical}", "--output", f"mask={tmp_path / 'm.npy'}"]
    status, _, err = predict(server, *arguments, "--provenance")
    assert (status, server.seen) == (4, [])
    assert err == f"eisen-client: {beside}: exists already: --overwrite replaces it\n"
    status, _, err = predict(server, *arguments)
    assert (status, beside.read_text()) == (0, "precious")
    assert f"{beside} describes a file that is replaced now" in err
    assert predict(server, *arguments, "--provenance", "--overwrite")[0] == 0
    assert json.loads(beside.read_text())["request_id"] == "request-7"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--json", "--provenance"], "--provenance describes files"),
        (
            ["--provenance", "--output", "a=o.npy", "--output", "b=o.npy.provenance.json"],
            "same file",
        ),
    ],
)
def test_provenance_of_nothing(predict, arguments, told):
    status, _, err = predict("http://localhost:1/", "--value", "x=[1]", *arguments)
    assert status == 2
    assert told in err


def test_a_failed_output_has_no_provenance(named, predict, anatomical, tmp_path):
    server = named(lambda image: {"mask": image[..., ::2]})
    status, _, _ = predict(
        server,
        *("--input", f"image={anatomical}", "--provenance"),
        *("--output", f"mask={tmp_path / 'm.nii'}", "--output", f"mask={tmp_path / 'm.npy'}"),
    )
    assert status == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.npy", "m.npy.provenance.json"]


# --- before anything is sent --------------------------------------------------------------


def test_images_that_make_no_segmentation_are_refused(
    named, predict, make_slices, write_series, tmp_path
):
    images = make_slices()
    images[2].PatientBirthDate = "19991231"
    server = named(mask_of)
    status, _, err = predict(
        server,
        *("--input", f"image={write_series(images)}"),
        *("--output", f"mask={tmp_path / 'm.nii'}", "--output", f"mask={tmp_path / 'm.dcm'}"),
    )
    assert (status, server.asked) == (4, [])
    assert "m.dcm: the images do not agree in PatientBirthDate" in err
    assert "19991231" not in err


def test_what_a_segmentation_lacks_is_reported(named, predict, make_slices, write_series, tmp_path):
    images = make_slices()
    for image in images:
        del image.FrameOfReferenceUID
    status, _, err = predict(
        named(mask_of),
        *("--input", f"image={write_series(images)}", "--output", f"mask={tmp_path / 'm.dcm'}"),
    )
    assert status == 0
    assert err.startswith("eisen-client: note: mask=")
    assert "no FrameOfReferenceUID" in err
    assert err.count("\n") == 1
