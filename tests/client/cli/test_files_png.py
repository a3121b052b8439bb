"""PNG: the values that are in the file, at every depth, or a reason why not."""

from __future__ import annotations

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from eisen_deploy.client import EisenServingClient, files
from eisen_deploy.client.testing import FakeModel

from .png_writer import KINDS, SAMPLES, SIGNATURE, chunk, png

SIZES = [(1, 1), (7, 9), (33, 18)]
if os.environ.get("PNG_SIZES"):
    SIZES = [(rows, columns) for rows in range(1, 20) for columns in range(1, 20)]


def sample(colour, depth, rows=7, columns=9):
    """Return random values (rows, columns, samples) with the least and the largest among them."""
    shape = (rows, columns, SAMPLES[colour])
    values = np.random.default_rng(depth).integers(0, 2**depth, shape)
    values.flat[0], values.flat[-1] = 2**depth - 1, 0
    return values


@pytest.fixture
def read(tmp_path):
    def read(raw):
        (tmp_path / "x.png").write_bytes(raw)
        return files.read(tmp_path / "x.png")

    return read


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("colour", "depth"), KINDS)
def test_values_are_those_in_the_file(read, colour, depth, interlaced, size):
    values = sample(colour, depth, *size)
    found = read(png(values, colour, depth, interlaced))
    expected = np.moveaxis(values, 2, 0) if colour else values[..., 0]
    np.testing.assert_array_equal(found.value, expected)
    assert found.value.dtype == ("bool" if depth == 1 else "uint8" if depth <= 8 else "uint16")
    assert depth > 1 or found.value.view(np.uint8).max() <= 1
    assert (found.spatial, found.remarks) == (2, ())


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_palettes_are_refused(read, depth, interlaced):
    palette = [(b"PLTE", bytes(range(3 * 2**depth)) if depth < 8 else bytes(768))]
    with pytest.raises(files.UnsupportedFile, match=r"palette.*convert it to grey values"):
        read(png(sample(3, depth), 3, depth, interlaced, before=palette))


@pytest.mark.parametrize(
    "further",
    [
        [(b"gAMA", struct.pack(">I", 45455))],
        [(b"sRGB", b"\0")],
        [(b"iCCP", b"x\0\0" + zlib.compress(b"no profile"))],
        [(b"sBIT", b"\x0c")],
        [(b"bKGD", b"\0\1"), (b"pHYs", struct.pack(">IIB", 1, 2, 0))],
        [(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**26)))],
        [(b"acTL", struct.pack(">II", 1, 0))],
        [(b"eXIf", b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x01\0\0\0\0\0\0\0")],
    ],
    ids=lambda further: further[0][0].decode(),
)
def test_other_chunks_do_not_change_values(read, further):
    values = sample(0, 16)
    found = read(png(values, 0, 16, before=further))
    np.testing.assert_array_equal(found.value, values[..., 0])
    assert found.remarks == ()


@pytest.mark.parametrize("colour", [0, 2])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_transparent_colour_is_reported(read, colour, depth):
    values = sample(colour, depth)
    marked = [(b"tRNS", struct.pack(f">{SAMPLES[colour]}H", *values[0, 0]))]
    found = read(png(values, colour, depth, before=marked))
    expected = np.moveaxis(values, 2, 0) if colour else values[..., 0]
    np.testing.assert_array_equal(found.value, expected)
    assert "transparent" in found.remarks[0]


@pytest.mark.parametrize("orientation", range(2, 9))
def test_an_orientation_is_reported_and_not_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    values = sample(0, 8)[..., 0].astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "x.png", exif=exif)
    found = files.read(tmp_path / "x.png")
    np.testing.assert_array_equal(found.value, values)
    assert f"(orientation {orientation})" in found.remarks[0]


@pytest.mark.parametrize("where", ["before", "after"])
def test_an_orientation_in_the_other_order_of_bytes(read, where):
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)
    exif = b"MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4)
    found = read(png(sample(0, 8), 0, 8, **{where: [(b"eXIf", exif)]}))
    assert "(orientation 6)" in found.remarks[0]


def test_an_animation_is_refused(tmp_path):
    frames = [Image.fromarray(np.full((3, 3), 80 * index, np.uint8)) for index in range(3)]
    frames[0].save(tmp_path / "x.png", save_all=True, append_images=frames[1:])
    with pytest.raises(files.UnsupportedFile, match="animated, with 3 pictures"):
        files.read(tmp_path / "x.png")


def test_unknown_critical_chunks_are_refused_by_name(read):
    whole = png(sample(0, 8), 0, 8)
    apple = SIGNATURE + chunk(b"CgBI", bytes(4)) + whole[8:]
    with pytest.raises(files.UnsupportedFile, match="Apple"):
        read(apple)
    with pytest.raises(files.UnsupportedFile, match="has a chunk QUAX"):
        read(png(sample(0, 8), 0, 8, before=[(b"QUAX", b"")]))


@pytest.mark.parametrize(("colour", "depth"), KINDS)
def test_a_file_that_is_cut_off_or_damaged_is_refused(read, colour, depth):
    whole = png(sample(colour, depth, 20, 20), colour, depth, idat=50)
    for length in range(8, len(whole), 1 + len(whole) // 40):
        with pytest.raises(files.UnreadableFile, match="cut off"):
            read(whole[:length])
    for position in range(8, len(whole), 1 + len(whole) // 40):
        changed = bytearray(whole)
        changed[position] ^= 8
        with pytest.raises(files.UnreadableFile, match=r"damaged|cut off"):
            read(bytes(changed))


@pytest.mark.parametrize(
    "head",
    [
        (0, 5, 8, 0, 0, 0, 0),
        (5, 0, 8, 0, 0, 0, 0),
        (5, 5, 3, 0, 0, 0, 0),
        (5, 5, 4, 2, 0, 0, 0),
        (5, 5, 8, 5, 0, 0, 0),
        (5, 5, 8, 0, 1, 0, 0),
        (5, 5, 8, 0, 0, 1, 0),
        (5, 5, 8, 0, 0, 0, 2),
    ],
)
def test_impossible_headers_are_refused(read, head):
    pixels = chunk(b"IDAT", zlib.compress(bytes(30)))
    raw = SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", *head)) + pixels + chunk(b"IEND", b"")
    with pytest.raises(files.UnreadableFile, match="its header"):
        read(raw)


@pytest.mark.parametrize(
    "pixels", [b"", zlib.compress(bytes(20)), zlib.compress(b"\7" * 99), b"rubbish"]
)
def test_pixels_that_do_not_fit_the_header_are_refused(read, pixels):
    head = struct.pack(">IIBBBBB", 5, 9, 8, 0, 0, 0, 0)
    raw = SIGNATURE + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    with pytest.raises(files.UnreadableFile, match=r"damaged|cut off"):
        read(raw)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("colour", "depth"), KINDS)
def test_missing_rows(read, colour, depth, interlaced):
    """Compressed as a whole, and too few: Pillow would take zeros for some of them."""
    whole = png(sample(colour, depth, 20, 20), colour, depth, interlaced, idat=10**6)
    start = whole.index(b"IDAT") + 4
    pixels = zlib.decompress(whole[start:])
    for length in (len(pixels) - 1, len(pixels) // 2, len(pixels) // 20, 1, 0):
        fewer = chunk(b"IDAT", zlib.compress(pixels[:length]))
        with pytest.raises(files.UnreadableFile, match="too few pixels"):
            read(whole[: start - 8] + fewer + chunk(b"IEND", b""))


def test_a_small_file_takes_no_huge_memory(read):
    head = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 16, 6, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(10**6)))
    with pytest.raises(files.UnreadableFile, match="too few pixels"):
        read(SIGNATURE + chunk(b"IHDR", head) + pixels + chunk(b"IEND", b""))


@pytest.mark.slow
def test_a_large_picture_is_read(read, capfd):
    """Pillow alone warns of it, and of one twice as large it refuses to read."""
    values = np.zeros((13400, 13400, 1), np.uint8)
    values[-1, -1] = 1
    rows = np.pad(np.packbits(values[..., 0], axis=1), ((0, 0), (1, 0)))
    head = struct.pack(">IIBBBBB", 13400, 13400, 1, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(rows.tobytes(), 1))
    found = read(SIGNATURE + chunk(b"IHDR", head) + pixels + chunk(b"IEND", b"")).value
    assert found.shape == (13400, 13400)
    assert found.sum() == 1
    assert found[-1, -1]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("columns", [1, 3, 8, 17])
def test_a_picture_of_one_bit_reaches_the_model(tmp_path, columns):
    truth = np.arange(5 * columns).reshape(5, columns) % 3 == 0
    Image.fromarray(truth).save(tmp_path / "x.png")
    array, _ = files.to_model(files.read(tmp_path / "x.png"), (-1, 1, -1, -1))
    model = FakeModel({}, lambda inputs: {"mask": inputs["image"]})
    with EisenServingClient("http://test/predictions/m", transport=model) as client:
        mask = client.predict({"image": array})["mask"]
    np.testing.assert_array_equal(mask[0, 0], truth)


def test_remarks_on_a_picture_are_printed(tmp_path, model, predict):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.eye(3, 4) > 0).save(tmp_path / "x.png", exif=exif)
    picture = [-1, 1, -1, -1]
    server = model(lambda image: {"mask": image}, {"image": picture}, {"mask": picture})
    files_ = (f"image={tmp_path / 'x.png'}", f"mask={tmp_path / 'mask.png'}")
    status, _, err = predict(server, "--input", files_[0], "--output", files_[1])
    assert (status, err.count("\n")) == (0, 1)
    assert err.startswith(f"eisen-client: note: {files_[0]}: EXIF asks viewers to turn")
    np.testing.assert_array_equal(files.read(tmp_path / "mask.png").value, np.eye(3, 4) > 0)


# --- written ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (5, 17), (3, 5, 7), (4, 5, 7)])
def test_what_is_written_is_read(tmp_path, dtype, shape):
    top = {"bool": 1, "uint8": 255, "uint16": 65535}[dtype]
    array = np.random.default_rng(0).integers(0, top, shape, endpoint=True).astype(dtype)
    array.flat[0] = top
    if len(shape) == 3 and dtype != "uint8":
        with pytest.raises(files.UnwritableFile, match=r"\(3, rows, columns\)"):
            files.save(tmp_path / "x.png", files.Content(array, 2))
        return
    for given in (array, np.asfortranarray(array), np.repeat(array, 2, axis=-1)[..., ::2]):
        files.save(tmp_path / "x.png", files.Content(given, 2))
        found = files.read(tmp_path / "x.png").value
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, array)


def test_bools_of_any_bytes_are_written(tmp_path):
    array = np.array([[0, 1, 2], [255, 0, 128]], np.uint8).view(bool)
    files.save(tmp_path / "x.png", files.Content(array, 2))
    assert Image.open(io.BytesIO((tmp_path / "x.png").read_bytes())).mode == "1"
    np.testing.assert_array_equal(
        files.read(tmp_path / "x.png").value, [[False, True, True], [True, False, True]]
    )


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (3, 0, 5)])
def test_pictures_without_pixels_are_not_written(tmp_path, shape):
    with pytest.raises(files.UnwritableFile, match="no pixels"):
        files.save(tmp_path / "x.png", files.Content(np.zeros(shape, np.uint8), 2))


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint64"])
def test_whole_numbers_become_the_smallest_that_png_has(tmp_path, dtype):
    for top, stored in ((255, "uint8"), (256, "uint16")):
        array = np.array([[0, top]], dtype)
        files.save(tmp_path / "x.png", files.Content(array, 2))
        found = files.read(tmp_path / "x.png").value
        assert found.dtype == stored
        np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 3), np.float32),
        np.full((3, 3), -1),
        np.full((3, 3), 65536),
        np.zeros((2, 3, 3), np.uint8),
        np.zeros((3, 3, 3), np.uint16) + 300,
        np.zeros((3, 3, 3), bool),
        np.zeros(3, np.uint8),
    ],
)
def test_what_png_does_not_hold(tmp_path, array):
    with pytest.raises(files.UnwritableFile):
        files.save(tmp_path / "x.png", files.Content(array, 2))
