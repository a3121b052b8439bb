"""``eisen-client predict``: real scans to a server and back, each output where its input lies."""

from __future__ import annotations

import json

import highdicom
import nibabel
import numpy as np
import pytest
from PIL import Image

VOLUME = [-1, 1, -1, -1, -1]


def above_mean(image):
    return {"mask": image > image.mean()}


# --- geometry -----------------------------------------------------------------------------


def test_a_real_volume(model, predict, mni, tmp_path):
    """The MNI152 template at 1 mm, 197 x 233 x 189 voxels."""
    server = model()
    out = tmp_path / "mask.nii.gz"
    status, told, err = predict(server, "--input", f"image={mni}", "--output", f"mask={out}")
    assert (status, err) == (0, "")
    assert told == f"{out}: bool, 197 x 233 x 189\n"
    source, mask = nibabel.load(mni), nibabel.load(out)
    (asked,) = server.asked
    assert asked["image"].shape == (1, 1, 197, 233, 189)
    np.testing.assert_array_equal(mask.affine, source.affine)
    assert mask.header["sform_code"] == source.header["sform_code"]
    assert mask.header["qform_code"] == source.header["qform_code"]
    assert mask.header.get_zooms() == source.header.get_zooms()
    assert mask.get_data_dtype() == np.uint8
    values = np.asanyarray(source.dataobj)
    np.testing.assert_array_equal(np.asanyarray(mask.dataobj), values > values.mean())


def test_a_real_series_gives_nifti_and_a_dicom_segmentation(
    model, predict, series, oblique, canonical, tmp_path
):
    server = model()
    status, _, err = predict(
        server,
        *("--input", f"image={series}"),
        *("--output", f"mask={tmp_path / 'mask.nii.gz'}"),
        *("--output", f"mask={tmp_path / 'mask.dcm'}"),
        *("--segment", "1=Bright"),
    )
    assert (status, err) == (0, "")
    volume, affine = oblique
    mask = nibabel.load(tmp_path / "mask.nii.gz")
    found, placed = canonical(mask.dataobj, mask.affine)
    expected, expected_affine = canonical(volume > volume.mean(), affine)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(placed, expected_affine, atol=1e-4)

    segmentation = highdicom.seg.segread(tmp_path / "mask.dcm")
    (segment,) = segmentation.SegmentSequence
    assert segment.SegmentLabel == "Bright"
    (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
    assert algorithm.AlgorithmName == "seg"
    if hasattr(segmentation, "get_volume"):  # highdicom 0.24
        of_dicom = segmentation.get_volume(combine_segments=True)
        lps = np.diag([-1.0, -1, 1, 1])
        data, placed = canonical(of_dicom.array, lps @ of_dicom.affine)
        box = [slice(int(a.min()), int(a.max()) + 1) for a in np.nonzero(expected)]
        assert data.sum() == expected.sum() > 0
        corner = np.linalg.inv(expected_affine) @ placed[:, 3]
        at = tuple(slice(round(c), round(c) + n) for c, n in zip(corner, data.shape))
        np.testing.assert_allclose(corner, np.round(corner), atol=1e-3)
        np.testing.assert_array_equal(expected[at], data)
        assert all(a.start <= b.start and b.stop <= a.stop for a, b in zip(at, box))


def test_the_same_patient_as_nifti_and_as_dicom(model, predict, series, oblique, tmp_path):
    """Turned to one orientation, the server sees the same array."""
    volume, affine = oblique
    nifti = tmp_path / "ct.nii.gz"
    nibabel.save(nibabel.Nifti1Image(volume, affine), nifti)
    server = model()
    for source in (nifti, series):
        name = f"{source.name}.mask.nii"
        arguments = ["--input", f"image={source}", "--output", f"mask={tmp_path / name}"]
        assert predict(server, *arguments, "--orientation", "ras")[0] == 0
    a, b = (each["image"] for each in server.asked)
    np.testing.assert_array_equal(a, b)
    one, other = (nibabel.load(tmp_path / f"{s.name}.mask.nii") for s in (nifti, series))
    np.testing.assert_array_equal(
        nibabel.as_closest_canonical(one).get_fdata(),
        nibabel.as_closest_canonical(other).get_fdata(),
    )


def test_an_output_of_another_shape_is_refused(model, predict, anatomical, tmp_path):
    server = model(lambda image: {"mask": image[..., ::2]})
    status, _, err = predict(
        server,
        *("--input", f"image={anatomical}"),
        *("--output", f"mask={tmp_path / 'mask.nii'}"),
        *("--output", f"mask={tmp_path / 'mask.npy'}"),
    )
    assert status == 5
    assert "[1, 1, 33, 41, 13]" in err
    assert "[33, 41, 25]" in err
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mask.npy"]


def test_channels_become_the_last_axis_of_nifti(model, predict, anatomical, tmp_path):
    server = model(lambda image: {"mask": np.concatenate([image, image + 1, image + 2], 1)})
    out = tmp_path / "mask.nii"
    assert predict(server, "--input", f"image={anatomical}", "--output", f"mask={out}")[0] == 0
    mask = nibabel.load(out)
    assert mask.shape == (33, 41, 25, 3)
    np.testing.assert_array_equal(mask.affine, nibabel.load(anatomical).affine)


def test_several_inputs(model, predict, anatomical, series, tmp_path):
    server = model(lambda a, b, age: {"mask": a > age}, {"a": VOLUME, "b": VOLUME, "age": "int"})
    out = tmp_path / "mask.nii"
    arguments = [
        *("--input", f"a={anatomical}", "--input", f"b={series}"),
        *("--value", "age=61", "--output", f"mask={out}"),
    ]
    status, _, err = predict(server, *arguments)
    assert status == 5
    assert "different grids: --like" in err
    assert server.asked == []
    assert predict(server, *arguments, "--like", "a")[0] == 0
    assert server.asked[0]["age"] == 61
    np.testing.assert_array_equal(nibabel.load(out).affine, nibabel.load(anatomical).affine)


def test_without_geometry_there_is_no_nifti(model, predict, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 3, 4), np.float32))
    server = model()
    status, _, err = predict(
        server, "--input", f"image={tmp_path / 'x.npy'}", "--output", f"mask={tmp_path / 'o.nii'}"
    )
    assert status == 5
    assert "no input has a geometry" in err
    assert server.asked == []


def test_a_nifti_file_gives_no_dicom(model, predict, anatomical, tmp_path):
    server = model()
    status, _, err = predict(
        server, "--input", f"image={anatomical}", "--output", f"mask={tmp_path / 'o.dcm'}"
    )
    assert status == 5
    assert "belongs to DICOM images" in err
    assert server.asked == []


# --- other files and values ---------------------------------------------------------------


def test_arrays_text_and_json(model, predict, tmp_path):
    def function(x, note, options):
        return {"y": x * 2, "note": note.upper(), "report": {"n": len(options), "x": [1, None]}}

    server = model(
        function,
        {"x": [-1, 2], "note": "str", "options": "json"},
        {"y": [-1, 2], "note": "str", "report": "json"},
    )
    np.save(tmp_path / "x.npy", np.array([[1.0, 2.0]]))
    (tmp_path / "note.txt").write_text("größe", "utf-8")
    outputs = {name: tmp_path / f"out.{name}" for name in ("npy", "txt", "json", "npz")}
    status, told, err = predict(
        server,
        *("--input", f"x={tmp_path / 'x.npy'}", "--input", f"note={tmp_path / 'note.txt'}"),
        *("--value", 'options={"a": 1}'),
        *("--output", f"y={outputs['npy']}", "--output", f"note={outputs['txt']}"),
        *("--output", f"report={outputs['json']}"),
    )
    assert (status, err) == (0, "")
    assert told.count("\n") == 3
    np.testing.assert_array_equal(np.load(outputs["npy"]), [[2.0, 4.0]])
    assert outputs["txt"].read_text("utf-8") == "GRÖSSE"
    assert json.loads(outputs["json"].read_text()) == {"n": 1, "x": [1, None]}


def test_npz_in_and_out(model, predict, tmp_path):
    outputs = {"y": [-1], "z": [-1]}
    server = model(lambda a, b: {"y": a + b, "z": a}, {"a": [-1], "b": [-1]}, outputs)
    np.savez(tmp_path / "in.npz", a=np.arange(3), b=np.ones(3, int))
    out = tmp_path / "out.npz"
    assert predict(server, "--input", tmp_path / "in.npz", "--output", out)[0] == 0
    found = np.load(out)
    assert set(found) == {"y", "z"}
    np.testing.assert_array_equal(found["y"], [1, 2, 3])


def test_single_values(model, predict, tmp_path):
    values = {"n": np.float32(3), "s": "text", "image": [1, 2]}
    server = model(lambda x: values, {"x": [-1]}, dict.fromkeys(values, "json"))
    kinds = (("n", "npy"), ("s", "txt"), ("s", "png"), ("image", "json"), ("image", "png"))
    outputs = [f"--output={name}={tmp_path / name}.{kind}" for name, kind in kinds]
    status, told, err = predict(server, "--value", "x=[1]", *outputs)
    assert told.replace(f"{tmp_path}/", "") == "n.npy: float32\ns.txt: str\nimage.json: list\n"
    assert (status, err.count("eisen-client: ")) == (4, 2)
    assert "s.png: str is not an image: use .json" in err
    assert "image.png: list is not an image: use .json" in err


def test_nan_is_reported(model, predict, tmp_path):
    outputs = {"y": [-1], "z": [-1]}
    server = model(lambda x: {"y": np.full_like(x, np.nan), "z": x}, {"x": [-1]}, outputs)
    arguments = ["--value", "x=[0.5]", f"--output=z={tmp_path / 'z.json'}"]
    status, told, err = predict(server, *arguments, "--json")
    assert (status, json.loads(told)) == (0, {"y": [None]})
    assert err.count("note: NaN or infinity is among") == err.count("note") == 1
    status, _, err = predict(server, *arguments, "--overwrite", f"--output=y={tmp_path / 'y.json'}")
    assert (status, err.count("y.json: NaN or infinity is among"), err.count("note")) == (0, 1, 1)


def test_json_on_the_standard_output(model, predict, tmp_path):
    server = model(
        lambda x, sex: {"p": x / 2, "text": sex},
        {"x": [-1], "sex": "str"},
        {"p": [-1], "text": "str"},
    )
    arguments = ["--value", "x=[1, 2]", "--value", "sex=f", "--json"]
    status, told, err = predict(server, *arguments)
    assert (status, err) == (0, "")
    assert json.loads(told) == {"p": [0.5, 1.0], "text": "f"}
    out = tmp_path / "p.npy"
    status, told, _ = predict(server, *arguments, "--output", f"p={out}")
    assert json.loads(told) == {"text": "f"}
    np.testing.assert_array_equal(np.load(out), [0.5, 1])


def test_a_volume_is_not_printed(model, predict, mni):
    status, told, err = predict(model(), "--input", f"image={mni}", "--json")
    assert status == 4
    assert told == ""
    assert "8675289 numbers, too many to print" in err


def test_a_picture(model, predict, tmp_path):
    pixels = np.arange(20, dtype=np.uint8).reshape(4, 5)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    shape = [-1, 1, -1, -1]
    server = model(lambda image: {"mask": image > 9}, {"image": shape}, {"mask": shape})
    out = tmp_path / "o.png"
    assert (
        predict(server, "--input", f"image={tmp_path / 'x.png'}", "--output", f"mask={out}")[0] == 0
    )
    np.testing.assert_array_equal(server.asked[0]["image"], pixels[None, None])
    np.testing.assert_array_equal(np.array(Image.open(out)), pixels > 9)


def test_only_the_outputs_asked_for_are_sent(model, predict, tmp_path):
    server = model(lambda x: {"y": x, "z": x}, {"x": [-1]}, {"y": [-1], "z": [-1]})
    assert predict(server, "--value", "x=[1]", "--output", f"z={tmp_path / 'z.npy'}")[0] == 0
    assert server.seen[-1].decode().outputs == ("z",)


# --- refused before anything is sent ------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["--value", "x=[1]"], 2, "say where the outputs go"),
        (["--json"], 2, "give the inputs"),
        (["--value", "x", "--json"], 2, "expected NAME=JSON"),
        (["--input", "x.nii", "--json"], 2, "expected NAME=FILE"),
        (["--value", "x=[1]", "--output", "y=o.tiff"], 4, "y=o.tiff: its name must end in"),
        (["--value", "x=[1]", "--output", "y=no/o.npy"], 4, "folder does not exist"),
        (["--value", "x=[1]", "--output", "y=o.npy", "--output", "z=o.npy"], 2, "same file"),
        (
            ["--value", "x=[1]", "--output", "y=o.npy", "--output", "z=../here/o.npy"],
            2,
            "same file",
        ),
        (["--value", "x=[1]", "--output", "y=o.npy", "--output", "z=$PWD/o.npy"], 2, "same file"),
        (["--value", "x=[1]", "--output", f"y={'o' * 255}.npy"], 4, "too long"),
        (["--value", "x=[1]", "--output", f"y={'o' * 250}.npy", "--provenance"], 4, "too long"),
        (
            ["--value", "x=[1]", "--value", "t=a", "--output", "q=o.npy"],
            2,
            "no output q: it gives y, z",
        ),
        (["--value", "w=[1]", "--json"], 2, "no input w: it takes x, t"),
        (["--value", "x=[1]", "--json"], 2, "also takes t"),
        (["--value", "x=[1]", "--value", "x=[2]", "--value", "t=a", "--json"], 2, "given twice"),
        (["--value", "x=SECRET", "--value", "t=a", "--json"], 2, "--value x: expected ndarray"),
        (["--value", 'x="SECRET"', "--value", "t=a", "--json"], 7, "expected ndarray, got str"),
        (["--value", "x=[[1]]", "--value", "t=a", "--json"], 7, "expected shape [-1], got [1, 1]"),
        (["--input", "x=no.npy", "--value", "t=a", "--json"], 3, "x=no.npy: there is no such file"),
        (["--value", "x=[1]", "--value", "t=a", "--json", "--like", "q"], 0, ""),
        (["--value", "x=[1]", "--value", "t=a", "--json", "--timeout", "0"], 2, "timeout"),
        (["--value", "x=[1]", "--json", "--orientation", "RAX"], 2, "one letter each"),
        (["--value", "x=[1]", "--json", "--segment", "Liver"], 2, "expected NUMBER=NAME"),
        (["--value", "x=[1]", "--json", "--segment", "1=A", "--segment", "01=B"], 2, "same number"),
    ],
)
def test_wrong_arguments(model, predict, tmp_path, monkeypatch, arguments, status, told):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    server = model(lambda x, t: {"y": x, "z": x}, {"x": [-1], "t": "str"}, {"y": [-1], "z": [-1]})
    found, out, err = predict(server, *(text.replace("$PWD", str(here)) for text in arguments))
    assert found == status, err
    assert told in err
    assert "SECRET" not in err + out
    if status:
        assert server.asked == []
        assert list(here.iterdir()) == []


@pytest.mark.parametrize("text", ["x.npy", "../here/x.npy", "link.npy"])
def test_inputs_are_never_replaced(model, predict, tmp_path, monkeypatch, text):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    np.save("x.npy", [1.5])
    (here / "link.npy").symlink_to("x.npy")
    server = model(lambda x: {"y": x * 2}, {"x": [-1]}, {"y": [-1]})
    status, _, err = predict(server, "--input=x=x.npy", f"--output=y={text}", "--overwrite")
    assert (status, server.seen) == (2, [])
    assert "an output would replace an input" in err
    np.testing.assert_array_equal(np.load("x.npy"), [1.5])


def test_existing_outputs(model, predict, tmp_path):
    server = model(lambda x: {"y": x}, {"x": [-1]}, {"y": [-1]})
    out = tmp_path / "y.npy"
    out.write_bytes(b"precious")
    arguments = ["--value", "x=[1]", "--output", f"y={out}"]
    status, _, err = predict(server, *arguments)
    assert (status, server.seen) == (4, [])
    assert err == f"eisen-client: y={out}: exists already: --overwrite replaces it\n"
    assert out.read_bytes() == b"precious"
    assert predict(server, *arguments, "--overwrite")[0] == 0
    np.testing.assert_array_equal(np.load(out), [1])


def test_an_extra_that_is_missing(model, predict, anatomical, tmp_path, monkeypatch):
    import sys

    for module in [key for key in sys.modules if key.partition(".")[0] == "nibabel"]:
        monkeypatch.setitem(sys.modules, module, None)
    server = model()
    status, _, err = predict(
        server, "--input", f"image={anatomical}", "--output", f"mask={tmp_path / 'o.nii'}"
    )
    assert (status, server.seen) == (6, [])
    assert 'pip install "eisen-deploy-client[nifti]"' in err


def test_no_message_holds_anything_of_a_patient(
    model, predict, http, make_slices, write_series, caplog, tmp_path
):
    """Names of files in the folder and what headers say, in output, logs and written NIfTI."""
    caplog.set_level("DEBUG")
    images = make_slices()
    server = model()
    good = write_series(images, "good")
    out = tmp_path / "mask.nii"
    texts = [*predict(server, "--input", f"image={good}", "--output", f"mask={out}")[1:]]
    assert b"anary" not in out.read_bytes().lower()
    for index, change in enumerate(("PatientName", "PixelSpacing", "Rows", "RescaleSlope")):
        broken = make_slices()
        setattr(broken[2], change, {"PixelSpacing": [7, 7], "Rows": 77}.get(change, "0"))
        folder = write_series(broken, f"bad{index}")
        arguments = ["--input", f"image={folder}", "--output", f"mask={out}", "--overwrite"]
        texts += predict(server, *arguments, "--debug")[1:]
    victim = sorted(good.iterdir())[1]
    victim.write_bytes(victim.read_bytes()[:900])
    arguments = ["--input", f"image={good}", "--output", f"mask={out}", "--overwrite", "--debug"]
    status, *told = predict(server, *arguments)
    assert status == 3
    texts += [*told, caplog.text]
    assert not any("anary" in text.lower() for text in texts)
