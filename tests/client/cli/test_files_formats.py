""".npy, .npz, PNG, text; what a path is; outputs that are there as a whole or not at all."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from eisen_deploy.client import files
from eisen_deploy.client.files.formats import check_writable, find_format
from eisen_deploy.client.files.staging import check_free, stage
from eisen_deploy.client.files.text_files import to_json


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.nii", ".nii"),
        ("A.NII.GZ", ".nii.gz"),
        ("a.tar.gz", ""),
        ("a.dcm", ".dcm"),
        ("npy", ""),
        ("a.png", ".png"),
    ],
)
def test_the_format_is_found_by_the_name_of_the_file(name, kind):
    assert find_format(Path(name)) == kind


def test_what_is_not_there_or_not_known(tmp_path):
    with pytest.raises(files.UnreadableFile, match="no such file"):
        files.read(tmp_path / "no.npy")
    (tmp_path / "x.tiff").write_bytes(b"II*\0" * 50)
    with pytest.raises(files.UnsupportedFile, match=r"is a TIFF image, and not in a format.*\.nii"):
        files.read(tmp_path / "x.tiff")
    with pytest.raises(files.UnwritableFile, match=r"must end in one of \.npy"):
        check_writable(tmp_path / "x.tiff")


@pytest.mark.parametrize("name", ["x.dcm", "x.nii", "x.nii.gz", "x.png"])
@pytest.mark.parametrize("value", ["text", [[1]], 1.5, {"a": 1}, None])
def test_files_that_are_not_images_are_refused(tmp_path, name, value):
    with pytest.raises(files.UnwritableFile, match=f"^{type(value).__name__} is not an image: use"):
        files.save(tmp_path / name, files.Content(value))
    assert list(tmp_path.iterdir()) == []


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (NAN, None),
        ({"dice": [0.5, {"hd95": INFINITE}]}, {"dice": [0.5, {"hd95": None}]}),
        (np.array([[1, NAN], [-INFINITE, 2]], np.float32), [[1, None], [None, 2]]),
        (np.float16(INFINITE), None),
        ((np.array([complex(1, NAN)]),), [[[1, None]]]),
    ],
)
def test_numbers_that_json_lacks_are_reported(tmp_path, value, written):
    (remark,) = files.save(tmp_path / "x.json", files.Content(value))
    assert remark == "NaN or infinity is among its numbers, for which JSON has only null"
    assert json.loads((tmp_path / "x.json").read_text()) == written


@pytest.mark.parametrize("value", [1e300, "NaN", [1, None, True], np.arange(3), np.array(["a"])])
def test_numbers_that_json_has(tmp_path, value):
    assert files.save(tmp_path / "x.json", files.Content(value)) == ()


def test_paths_may_be_text(tmp_path):
    path = str(tmp_path / "x.npy")
    assert files.check_grid(path, None) == ()
    files.save(path, files.Content(np.arange(3)))
    np.testing.assert_array_equal(files.read(path).value, [0, 1, 2])


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "complex64", "U3"])
def test_npy(tmp_path, dtype):
    array = np.array([[0, 1], [2, 3]]).astype(dtype)
    files.save(tmp_path / "x.npy", files.Content(array))
    found = files.read(tmp_path / "x.npy")
    np.testing.assert_array_equal(found.value, array)
    assert found.value.dtype == dtype


def test_npz(tmp_path):
    a, b = np.arange(3), np.eye(2)
    np.savez(tmp_path / "two.npz", a=a, b=b)
    np.savez(tmp_path / "one.npz", a)
    np.testing.assert_array_equal(files.read(tmp_path / "two.npz", "b").value, b)
    np.testing.assert_array_equal(files.read(tmp_path / "one.npz", "b").value, a)
    with pytest.raises(files.UnsupportedFile, match="holds 2 arrays, and none of them"):
        files.read(tmp_path / "two.npz", "c")


class Bomb:
    def __reduce__(self):
        return (print, ("a pickle ran",))


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_pickles_do_not_run(tmp_path, capsys, kind):
    array = np.array([Bomb()], dtype=object)
    path = tmp_path / f"x.{kind}"
    np.save(path, array) if kind == "npy" else np.savez(path, array)
    with pytest.raises(files.UnreadableFile, match="without pickles"):
        files.read(path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("end", ["npy", "npz", "png", "json", "txt", "nii", "nii.gz", "dcm"])
def test_meaningless_bytes_are_refused(tmp_path, end):
    path = tmp_path / f"x.{end}"
    path.write_bytes(b"\xff\xfe\x00" * 300)
    with pytest.raises(files.UnreadableFile):
        files.read(path)


# --- text ---------------------------------------------------------------------------------


def test_json_holds_whatever_a_model_replies(tmp_path):
    value = {
        "a": np.array([[1, 2]], np.int16),
        "b": [np.float32(0.5), float("nan"), None, True, "größe"],
        "c": np.array([1 + 2j]),
        "d": np.array([b"x"], object),
    }
    files.save(tmp_path / "x.json", files.Content(value))
    assert json.loads((tmp_path / "x.json").read_text("utf-8")) == {
        "a": [[1, 2]],
        "b": [0.5, None, None, True, "größe"],
        "c": [[1.0, 2.0]],
        "d": ["x"],
    }


@pytest.mark.parametrize("shape", [(10**9, 0), (10**5, 10**5, 0), (3, 10**6, 1, 0)])
def test_rows_without_values_are_no_json(shape):
    with pytest.raises(files.UnwritableFile, match=r"rows for 0 values: use \.npy"):
        to_json({"y": [np.empty(0).reshape(shape)]})  # np.zeros of old numpys takes memory for it
    assert to_json(np.empty(0).reshape(0, 10**9)) == "[]"


def test_text_is_as_it_is(tmp_path):
    for text in ("", "größe\r\n", " x "):
        files.save(tmp_path / "x.txt", files.Content(text))
        assert files.read(tmp_path / "x.txt").value == text
    with pytest.raises(files.UnwritableFile, match="is not text"):
        files.save(tmp_path / "x.txt", files.Content(3))


# --- outputs ------------------------------------------------------------------------------


def test_outputs_appear_together(tmp_path):
    paths = [tmp_path / "a.npy", tmp_path / "b.nii.gz"]
    with stage(paths, overwrite=False) as temporaries:
        assert all(temporaries[path].name.endswith(find_format(path)) for path in paths)
        assert not any(path.exists() for path in paths)
        for path in paths:
            temporaries[path].write_bytes(b"x")
    assert sorted(tmp_path.iterdir()) == paths


def test_nothing_is_left_of_a_failure(tmp_path):
    old = tmp_path / "b.npy"
    old.write_bytes(b"old")

    def interrupted():
        with stage([tmp_path / "a.npy", old], overwrite=True) as temporaries:
            for temporary in temporaries.values():
                temporary.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == [old]
    assert old.read_bytes() == b"old"


def test_a_file_that_appeared_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "a.npy"
    with pytest.raises(files.UnwritableFile, match="exists"), stage([path], False):
        path.write_bytes(b"theirs")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"theirs"


def test_temporary_files_do_not_show_the_names_of_outputs(tmp_path):
    with stage([tmp_path / "CANARY.npy"], False) as temporaries:
        assert "CANARY" not in temporaries[tmp_path / "CANARY.npy"].name


@pytest.mark.skipif(sys.platform == "win32", reason="no such modes")
def test_modes_are_those_of_any_other_file(tmp_path):
    (tmp_path / "usual").touch()
    with stage([tmp_path / "a.npy"], False):
        pass
    usual, found = ((tmp_path / name).stat().st_mode for name in ("usual", "a.npy"))
    assert stat.S_IMODE(found) == stat.S_IMODE(usual)


def test_where_nothing_can_be_written(tmp_path):
    with pytest.raises(files.UnwritableFile, match="folder does not exist"):
        check_free(tmp_path / "no" / "a.npy", overwrite=True)
    with pytest.raises(files.UnwritableFile, match="is not a file"):
        check_free(tmp_path, overwrite=True)


# --- extras -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "library", "extra"),
    [
        ("x.nii.gz", "nibabel", "nifti"),
        ("x.dcm", "pydicom", "dicom"),
        ("x.png", "PIL", "png"),
    ],
)
def test_a_missing_library_is_reported_with_what_to_install(
    tmp_path, monkeypatch, name, library, extra
):
    for module in [key for key in sys.modules if key.partition(".")[0] == library] + [library]:
        monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / name).write_bytes(b"x" * 200)
    with pytest.raises(files.MissingExtra) as caught:
        files.read(tmp_path / name)
    assert f'{library} is needed for it: pip install "eisen-deploy-client[{extra}]"' == str(
        caught.value
    )
