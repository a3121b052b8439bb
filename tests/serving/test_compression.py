"""Which replies are compressed, for whom, and that they are decoded unchanged."""

from __future__ import annotations

import gzip
import zlib

import numpy as np
import pytest

from eisen_deploy.serving.runtime.answering.bodies import compression
from eisen_deploy.serving.runtime.answering.bodies.compression import SMALL, accepts_gzip, compress
from eisen_deploy.serving.runtime.messages import Reply

RNG = np.random.default_rng(0)
N = 96
HEAD = b'{"outputs": []}'.ljust(256)


def radius():
    z, y, x = np.ogrid[:N, :N, :N]
    ball = np.sqrt((z - 48.0) ** 2 + 1.3 * (y - 45) ** 2 + 0.8 * (x - 50) ** 2)
    return ball + 4 * np.sin(z / 7) + 3 * np.cos(y / 5 + x / 9)


def label_map(dtype):
    ball = radius()
    return (1 * (ball < 40) + (ball < 25) + (ball < 9)).astype(dtype)


def ct():
    return (np.where(radius() < 40, 40, -1000) + RNG.normal(0, 15, (N, N, N))).astype(np.float32)


def probabilities():
    return 1 / (1 + np.exp((radius() - 35) / 4))


SHRINKS = {
    "labels uint8": label_map(np.uint8),
    "labels int64": label_map(np.int64),
    "labels float32": label_map(np.float32),
    "zeros": np.zeros((N, N, N), np.float32),
}
DOES_NOT = {
    "CT float32": ct(),
    "CT whole numbers": np.round(ct()),
    "CT int16": np.round(ct()).astype(np.int16),
    "random floats": RNG.standard_normal((N, N, N), np.float32),
    "random bytes": RNG.integers(0, 256, (N, N, N), np.uint8),
    "probabilities uint8": np.round(probabilities() * 255).astype(np.uint8),
    "probabilities float32": probabilities().astype(np.float32),
}


def reply_of(*arrays, **options):
    buffers = [np.ascontiguousarray(array).reshape(-1).view(np.uint8).data for array in arrays]
    return Reply((HEAD, *buffers), **options)


@pytest.mark.parametrize("array", SHRINKS.values(), ids=SHRINKS)
def test_label_maps_are_compressed(array):
    reply = reply_of(array, headers={"Content-Type": "application/octet-stream", "X": "y"})
    small = compress(reply, "gzip")
    assert small.size < reply.size / 20
    assert gzip.decompress(small.body) == reply.body
    assert small.headers == {
        **reply.headers,
        "Content-Encoding": "gzip",
        "Vary": "Accept-Encoding",
        "Eisen-Body-Size": str(reply.size),
    }
    assert small.status == 200


@pytest.mark.parametrize("array", DOES_NOT.values(), ids=DOES_NOT)
def test_images_and_probabilities_stay_as_they_are(array):
    reply = reply_of(array)
    assert compress(reply, "gzip") is reply


def test_what_shrinks_in_part_only_stays_as_it_is():
    for arrays in ([label_map(np.uint8), ct()], [ct(), label_map(np.uint8)]):
        reply = reply_of(*arrays)
        assert compress(reply, "gzip") is reply


def test_a_background_at_every_row_s_begin_does_not_mislead():
    volume = RNG.standard_normal((128, 128, 128), np.float32)
    volume[:, :12] = volume[:, :, :12] = 0  # samples at even steps would see nothing else
    reply = reply_of(volume)
    assert compress(reply, "gzip") is reply


def test_all_that_samples_miss_is_found_while_it_is_compressed(monkeypatch):
    reply = reply_of(np.zeros((N, N, N), np.float32), ct())
    monkeypatch.setattr(compression, "_take_sample", lambda *_: memoryview(bytes(100)))
    assert compress(reply, "gzip") is reply


def test_many_small_buffers_are_one_body():
    pieces = [b'{"x": 0, ' * 100, b"", *([b"0, " * 1000] * 200), b"}"]
    reply = Reply(tuple(pieces))
    small = compress(reply, "gzip")
    assert gzip.decompress(small.body) == b"".join(pieces)


def test_every_prefix_of_the_buffers_is_no_matter():
    data = label_map(np.uint8).tobytes()
    for cut in (0, 1, SMALL - 1, SMALL, len(data) - 1, len(data)):
        reply = Reply((data[:cut], memoryview(data)[cut:]))
        assert gzip.decompress(compress(reply, "gzip").body) == data


@pytest.mark.parametrize("size", [0, 1, 1000, SMALL - 1])
def test_small_bodies_stay_as_they_are(size):
    reply = Reply((bytes(size),))
    assert compress(reply, "gzip") is reply
    assert compress(Reply((bytes(SMALL),)), "gzip").size < SMALL


@pytest.mark.parametrize("status", [201, 400, 422, 500, 507])
def test_errors_stay_as_they_are(status):
    reply = Reply((bytes(SMALL),), status)
    assert compress(reply, "gzip") is reply


def test_what_has_a_coding_keeps_it():
    reply = Reply((bytes(SMALL),), headers={"content-encoding": "br"})
    assert compress(reply, "gzip") is reply


@pytest.mark.parametrize(
    "header",
    [
        "gzip",
        "GZip",
        "x-gzip",
        "gzip, deflate, br",
        "br;q=1.0, gzip;q=0.8, *;q=0.1",
        "deflate , gzip ; q=0.5",
        "*",
        "identity;q=0.5, *;q=0.7",
        "identity, gzip",
        "gzip;q=1.000",
    ],
)
def test_accepted(header):
    assert accepts_gzip(header)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "identity",
        "deflate, br",
        "gzip;q=0",
        "gzip;q=0.000, *",
        "gzip; Q=0",
        "*;q=0",
        "identity;q=1, gzip;q=0.5",
        "identity, *;q=0.1",
        "gzipped",
        "gzip;q=much",
        "gzip;q=-1",
        ";;,,=",
    ],
)
def test_not_accepted(header):
    assert not accepts_gzip(header)
    reply = Reply((bytes(SMALL),))
    assert compress(reply, header) is reply


def test_the_look_at_what_does_not_shrink_is_short(monkeypatch):
    seen = []
    real = zlib.compress
    monkeypatch.setattr(
        compression.zlib, "compress", lambda raw, level: seen.append(len(raw)) or real(raw, level)
    )
    for array in DOES_NOT.values():
        seen.clear()
        compress(reply_of(array), "gzip")
        assert sum(seen) <= 1024
