"""What is said of a file that cannot be read or written: what it is, or what to do."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import json
import lzma
import os
import pickle
import re
import struct
import sys
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from eisen_deploy.client import files
from eisen_deploy.client.cli.error_messages import explain_error
from eisen_deploy.client.files import libraries, signatures
from eisen_deploy.client.files.numpy_files import read_npz

PIXELS = np.arange(64, dtype=np.uint8).reshape(8, 8)
#: Nothing but the name of a class in brackets is left of such a message's reason.
BARE_CLASS = re.compile(r"\([A-Z]\w*(Error|Exception|File|Warning)\)")


def saved(form):
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, format=form)
    return file.getvalue()


def npy(array, version=None):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version)
    return file.getvalue()


def npz(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def zipped(members, kind=zipfile.ZipFile):
    file = io.BytesIO()
    with kind(file, "w") as archive:
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


def tar():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x"))
    return file.getvalue()


OTHERS = {
    "a PNG file": saved("PNG"),
    "a JPEG image": saved("JPEG"),
    "a GIF image": saved("GIF"),
    "a TIFF image": saved("TIFF"),
    "a BMP image": saved("BMP"),
    "a WebP image": saved("WEBP"),
    "DICOM": bytes(128) + b"DICM" + bytes(50),
    "a NIfTI file": struct.pack("<i", 348) + bytes(340) + b"n+1\0" + bytes(50),
    "an .npy file": npy(PIXELS),
    "an .npz file": npz(a=PIXELS),
    "a zip file": zipped([("model.pt", b"x")]),
    "a gzip file": gzip.compress(b"x"),
    "a bzip2 file": bz2.compress(b"x"),
    "an xz file": lzma.compress(b"x"),
    "a tar file": tar(),
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "a MATLAB file": b"MATLAB 5.0 MAT-file" + bytes(100),
    "an NRRD file": b"NRRD0004\ntype: short\n",
    "a PDF": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "a pickle of Python objects": pickle.dumps({"a": 1}),
    "a web page": b"\r\n<!DOCTYPE HTML><html><head><title>Log in</title>",
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "nothing but zeros": bytes(5000),
    "text in UTF-16": "größe".encode("utf-16"),
}


@pytest.mark.parametrize("end", ["png", "npy", "npz", "json", "txt"])
@pytest.mark.parametrize("kind", OTHERS)
def test_a_file_of_another_kind_is_named(tmp_path, kind, end):
    path = tmp_path / f"CANARY.{end}"
    path.write_bytes(OTHERS[kind])
    assert signatures.identify(path).startswith(kind)
    if is_read(kind, end):
        files.read(path)
        return
    with pytest.raises(files.FileError, match=re.escape(f"is {kind}")):
        files.read(path)


def is_read(kind, end):
    if end == "txt":
        return OTHERS[kind].isascii()
    return kind in {"png": "a PNG file", "npy": "an .npy file", "npz": "an .npz file"}.get(end, "")


@pytest.mark.parametrize("end", ["png", "npy", "npz", "json"])
def test_an_empty_file(tmp_path, end):
    path = tmp_path / f"x.{end}"
    path.touch()
    with pytest.raises(files.UnreadableFile, match="is empty"):
        files.read(path)


@pytest.mark.parametrize("end", ["png", "npy", "npz"])
def test_a_file_cut_off_anywhere(tmp_path, end):
    whole = {"png": saved("PNG"), "npy": npy(PIXELS), "npz": npz(a=PIXELS, b=PIXELS)}[end]
    path = tmp_path / f"x.{end}"
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(files.UnreadableFile) as caught:
            files.read(path, "a")
        text = str(caught.value)
        assert "cut off" in text if length > 60 else "(" not in text
        assert not BARE_CLASS.search(text)


# --- .npy and .npz ------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["npy", "npz"])
@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.array([{}], object), "holds Python objects"),
        (np.zeros(3, [("a", "i4"), ("b", "f4")]), "table with named columns"),
        (np.zeros(3, [("größe", "i4"), ("数", "f4")]), "table with named columns"),
        (np.zeros(3, [("a", object)]), "holds Python objects"),
    ],
)
def test_arrays_that_are_not_read(tmp_path, array, reason, end):
    path = tmp_path / f"x.{end}"
    with libraries.silence():
        np.save(path, array) if end == "npy" else np.savez(path, a=array)
    with pytest.raises(files.FileError, match=reason):
        files.read(path)


@pytest.mark.parametrize("end", ["npy", "npz"])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (2, 3)])
@pytest.mark.parametrize("dtype", ["bool", ">i2", "<f8", "c8", "U5", "S3"])
@pytest.mark.parametrize("order", "CF")
def test_arrays_that_are_read(tmp_path, shape, dtype, end, order):
    array = np.asarray(np.zeros(shape), dtype=dtype, order=order)
    path = tmp_path / f"x.{end}"
    np.save(path, array) if end == "npy" else np.savez(path, a=array)
    found = files.read(path).value
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_versions_of_npy(tmp_path, version):
    (tmp_path / "x.npy").write_bytes(npy(PIXELS, version))
    np.testing.assert_array_equal(files.read(tmp_path / "x.npy").value, PIXELS)


@pytest.mark.parametrize("end", ["npy", "npz"])
def test_bools_of_any_bytes(tmp_path, end):
    array = np.array([0, 1, 2, 255], np.uint8).view(bool)
    path = tmp_path / f"x.{end}"
    np.save(path, array) if end == "npy" else np.savez(path, a=array)
    assert files.read(path).value.tobytes() == b"\0\1\1\1"
    files.save(path, files.Content(array))
    assert np.load(path)["value" if end == "npz" else ...].tobytes() == b"\0\1\1\1"


def test_any_names_in_npz(tmp_path):
    names = ["file", "allow_pickle", "args", "arr_0", "größe", "a/b", "x.npy"]
    arrays = {name: np.full(2, index) for index, name in enumerate(names)}
    files.save(tmp_path / "x.npz", files.Content(arrays))
    found = read_npz(tmp_path / "x.npz")
    assert list(found) == names
    for name in names:
        np.testing.assert_array_equal(found[name], arrays[name])


@pytest.mark.parametrize(
    "members",
    [
        [("a.npy", npy(PIXELS)), ("readme.txt", b"x")],
        [("a.npy", npy(PIXELS)), ("a.npy", npy(PIXELS))],
        [("a.npy/", b"")],
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zip_files_of_other_things(tmp_path, members):
    (tmp_path / "x.npz").write_bytes(zipped(members))
    with pytest.raises(files.UnsupportedFile, match="one array for each name"):
        read_npz(tmp_path / "x.npz")


def test_a_damaged_member(tmp_path):
    raw = bytearray(zipped([("a.npy", npy(PIXELS))]))
    raw[-150] ^= 1
    (tmp_path / "x.npz").write_bytes(raw)
    with pytest.raises(files.UnreadableFile, match=r"is an \.npz file, and damaged"):
        files.read(tmp_path / "x.npz")


@pytest.mark.parametrize("end", ["png", "npy", "npz", "json", "txt"])
def test_changed_files_are_read_or_refused(tmp_path, end):
    """Whatever is wrong with one: no error but ours, and no reason that is the name of a class."""
    random = np.random.default_rng(len(end))
    text = json.dumps({"a": [1, 2.5, None], "b": "größe"}).encode()
    whole = {"png": saved("PNG"), "npy": npy(PIXELS), "npz": npz(a=PIXELS, b=PIXELS)}.get(end, text)
    path = tmp_path / f"x.{end}"
    for _ in range(int(os.environ.get("CHANGED_FILES", "60"))):
        changed = bytearray(whole)
        for position in random.integers(0, len(whole), random.integers(1, 4)):
            changed[position] = random.integers(0, 256)
        path.write_bytes(changed)
        assert not BARE_CLASS.search(reason_of(files.read, path, "a"))


def reason_of(function, *arguments):
    """Return why a file is refused, nothing if it is not; other errors pass."""
    try:
        function(*arguments)
    except files.FileError as error:
        return str(error)
    return ""


VALUES = [
    np.zeros(3, "M8[s]"),
    np.zeros(3, np.longdouble),
    np.zeros(3, [("a", "i4")]),
    np.zeros((2, 2), object),
    np.array("text"),
    np.float32(1.5),
    np.zeros((3, 0)),
    np.array([[1, 2]], ">i4"),
    {"a": 1},
    [1, [2, 3]],
    None,
    "text",
    b"bytes",
    1j,
    float("nan"),
    {1, 2},
]


@pytest.mark.parametrize("end", ["npy", "npz", "json", "txt"])
@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__}")
def test_values_are_written_or_refused(tmp_path, value, end):
    path = tmp_path / f"x.{end}"
    reason = reason_of(files.save, path, files.Content(value))
    assert not BARE_CLASS.search(reason)
    if not reason:
        files.read(path)


# --- text ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"CANARY": 1,\n "b": CANARY}', r"Expecting value \(line 2, column 7\)"),
        ('{"CANARY": 1, "CANARY": 2}', "a key that appears twice"),
        ("[1, NaN]", "NaN, which is not JSON"),
        ("1e400", "too large"),
        ("[" * 100 + "]" * 100, "nested more than 32 deep"),
        ('["\\ud800"]', "surrogate"),
        ("{'CANARY': 1}", r"line 1, column 2"),
        ("CANARY", r"line 1, column 1"),
    ],
)
def test_text_that_is_not_json(tmp_path, text, reason):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(files.UnreadableFile, match=reason) as caught:
        files.read(tmp_path / "x.json")
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("end", ["json", "txt"])
def test_text_in_another_encoding(tmp_path, end):
    path = tmp_path / f"x.{end}"
    path.write_bytes('"größe"'.encode("latin-1"))
    with pytest.raises(files.UnreadableFile, match=r"is not (in )?UTF-8 \(byte 3\)"):
        files.read(path)


def test_a_byte_order_mark(tmp_path):
    for name, value in (("x.json", {"größe": 1}), ("x.txt", '{"größe": 1}')):
        (tmp_path / name).write_text('{"größe": 1}', "utf-8-sig")
        assert files.read(tmp_path / name).value == value
    assert "byte order mark" in files.read(tmp_path / "x.txt").remarks[0]


@pytest.mark.parametrize(("end", "value"), [("json", {"a": {1, 2}}), ("txt", "\ud800")])
def test_what_cannot_be_written_as_text(tmp_path, end, value):
    with pytest.raises(files.UnwritableFile, match="cannot be made of such values"):
        files.save(tmp_path / f"x.{end}", files.Content(value))


# --- the system ---------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="no such file")
@pytest.mark.parametrize("end", ["npy", "npz", "png", "json", "txt"])
def test_a_full_disk(tmp_path, end):
    path = tmp_path / f"x.{end}"
    path.symlink_to("/dev/full")
    value = "x" if end == "txt" else np.zeros((99, 999), np.uint8)
    with pytest.raises(files.UnwritableFile, match="cannot be written: No space left on device"):
        files.save(path, files.Content(value, 2))


@pytest.mark.skipif(sys.platform == "win32", reason="no such limits")
@pytest.mark.parametrize("end", ["npy", "npz", "png", "json", "txt", "nii", "nii.gz"])
def test_a_disk_with_room_for_a_part(tmp_path, end):
    import resource

    noise = np.random.default_rng(0).integers(0, 255, (50, 50), np.uint8)
    content = files.Content("x" * 5000 if end == "txt" else noise, 2)
    if end.startswith("nii"):
        content = files.Content(noise[:, :, None], 3, files.Grid((50, 50, 1), np.eye(4)))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(files.UnwritableFile, match="written: File too large"):
            files.save(tmp_path / f"x.{end}", content)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.skipif(sys.platform == "win32", reason="no such rights")
@pytest.mark.parametrize("end", ["npy", "png", "json", "txt", ""])
def test_what_the_system_does_not_let_read(tmp_path, end):
    path = tmp_path / f"x.{end}"
    path.symlink_to("/proc/self/mem")  # also root gets an error of it
    with pytest.raises(files.UnreadableFile, match="cannot be read: "):
        files.read(path)


def test_names_of_classes_are_not_all_that_is_said(tmp_path):
    for error in (
        ValueError("CANARY"),
        KeyError("CANARY"),
        EOFError(),
        RecursionError(),
        OSError(),
    ):
        with pytest.raises(files.UnreadableFile) as caught, libraries.reading("a PNG file"):
            raise error
        assert str(caught.value) == "is damaged, or is not a PNG file"
    with pytest.raises(files.UnwritableFile) as unwritable, libraries.writing("a PNG file"):
        raise ValueError("CANARY")
    assert str(unwritable.value) == "a PNG file cannot be made of such values"


def test_errors_of_the_system_are_explained():
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "CANARY")
    assert explain_error(full) == "No space left on device"
    assert explain_error(OSError()) == "unexpected OSError (--debug shows where)"
