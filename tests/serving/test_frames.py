"""Frames received as TorchServe's own functions read them, and both functions put in place."""

from __future__ import annotations

import logging
import random
import resource
import socket
import struct
import sys
import threading
import warnings

import pytest

from eisen_deploy.serving.runtime.torchserve import frames, receiving
from eisen_deploy.serving.runtime.torchserve.receiving import LARGE

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ResourceWarning)  # it leaves its version.txt open
    import ts
    import ts.service
    from ts.protocol import otf_message_handler as codec

TORCHSERVES = codec._retrieve_buffer, codec.create_predict_response
SIZES = [0, 1, 3, 4, 63, 1000, LARGE - 1, LARGE, LARGE + 1, 3 * LARGE]


def raw_size(size):
    return struct.pack("!i", size)


def field(raw):
    return raw_size(len(raw)) + raw


def random_request(rng):
    headers = [(rng.randbytes(rng.randrange(30)).hex(), "v" * rng.randrange(200)) for _ in "12345"]
    bodies = rng.choices(SIZES, weights=[9, 9, 9, 9, 9, 9, 1, 1, 1, 1], k=rng.randrange(3))
    yield field(rng.randbytes(18).hex().encode())
    for name, value in headers[: rng.randrange(6)]:
        yield field(name.encode()) + field(value.encode())
    yield raw_size(-1)
    for size in bodies:
        yield field(b"body") + field(b"application/octet-stream") + field(rng.randbytes(size))
    yield raw_size(-1)


def random_frame(rng):
    requests = (b"".join(random_request(rng)) for _ in range(rng.randrange(1, 5)))
    return b"I" + b"".join(requests) + raw_size(-1)


class Pieces:
    """A socket from which each call gets a few bytes only, as many as chance says."""

    def __init__(self, conn, rng):
        self.conn, self.rng = conn, rng

    def _most(self, size):
        return min(size, self.rng.choice([1, 2, 7, 100, 5000, 100_000, size]))

    def recv(self, size):
        return self.conn.recv(self._most(size))

    def recv_into(self, view):
        return self.conn.recv_into(view, self._most(len(view)))


def read_all(conn, count, retrieve, monkeypatch):
    monkeypatch.setattr(codec, "_retrieve_buffer", retrieve)
    return [codec.retrieve_msg(conn) for _ in range(count)]


@pytest.mark.quick_cases(5)
@pytest.mark.parametrize("seed", range(20))
def test_frames_received_in_pieces_are_read_as_torchserve_reads_them(seed, monkeypatch):
    rng = random.Random(seed)
    sent = [random_frame(rng) for _ in range(100)]
    read = []
    for retrieve in (TORCHSERVES[0], receiving.make_retriever([])):
        here, there = socket.socketpair()
        with here, there:
            sender = threading.Thread(target=there.sendall, args=(b"".join(sent),))
            sender.start()
            read.append(read_all(Pieces(here, rng), len(sent), retrieve, monkeypatch))
            sender.join()
    assert read[0] == read[1]
    values = [
        item["value"] for _, batch in read[1] for request in batch for item in request["parameters"]
    ]
    assert values
    assert {type(value) for value in values} == {bytearray}


def test_a_disconnect_anywhere_in_a_frame_ends_the_worker(monkeypatch):
    rng = random.Random(1)
    body = field(b"body") + field(b"") + field(bytes(LARGE + 5000))
    frame = b"I" + field(b"id") + field(b"name") + field(b"value") + raw_size(-1) + body
    cuts = [*range(60), *(rng.randrange(len(frame)) for _ in range(40)), len(frame)]
    for cut in cuts:
        for retrieve in (TORCHSERVES[0], receiving.make_retriever([])):
            monkeypatch.setattr(codec, "_retrieve_buffer", retrieve)
            here, there = socket.socketpair()
            with here:
                there.sendall(frame[:cut])
                there.close()
                with pytest.raises(SystemExit) as exit_:
                    codec.retrieve_msg(here)
                assert exit_.value.code == 0


def test_a_new_connection_gets_nothing_of_the_last_one(monkeypatch):
    retrieve = receiving.make_retriever([])
    for text in (b"one", b"two"):
        here, there = socket.socketpair()
        with here, there:
            there.sendall(text + b" and what follows")
            assert retrieve(here, 3) == text


def peak_memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="counts in KiB")
def test_a_huge_size_takes_no_memory_before_the_bytes_come(feed):
    before = peak_memory()
    with pytest.raises(SystemExit):
        receiving.make_retriever([])(feed(bytes(1000)), 2**31 - 1)
    assert peak_memory() - before < 64 * 2**20


@pytest.mark.parametrize("length", [0, -1, -(2**31)])
def test_no_size_and_sizes_below_read_nothing(pair, length):
    assert receiving.make_retriever([])(pair[0], length) == TORCHSERVES[0](pair[0], length) == b""


def test_a_large_body_is_received_where_it_stays_and_can_be_written_to(feed):
    raw = random.Random(2).randbytes(5 * LARGE)
    conn = feed(field(raw) + b"rest")
    retrieve = receiving.make_retriever([])
    assert retrieve(conn, 4) == raw_size(len(raw))
    body = retrieve(conn, len(raw))
    assert body == raw
    body[0] ^= 1
    assert retrieve(conn, 4) == b"rest"


# --- installation -------------------------------------------------------------------------


@pytest.fixture
def worker_process(monkeypatch):
    """This process as TorchServe's worker: its main module reads by TorchServe's codec."""
    monkeypatch.setattr(sys.modules["__main__"], "retrieve_msg", codec.retrieve_msg, raising=False)
    monkeypatch.setattr(codec, "_retrieve_buffer", TORCHSERVES[0])
    monkeypatch.setattr(ts.service, "create_predict_response", TORCHSERVES[1])


def functions():
    return codec._retrieve_buffer, ts.service.create_predict_response


def test_in_a_worker_both_functions_are_replaced_once(worker_process):
    assert not frames.is_installed()
    assert frames.install()
    first = functions()
    assert first[0] is not TORCHSERVES[0]
    assert first[1] is not TORCHSERVES[1]
    assert frames.is_installed()
    assert frames.install()
    assert functions() == first


def test_in_another_process_nothing_is_replaced():
    assert not frames.install()
    assert functions() == TORCHSERVES


def test_without_torchserve_there_is_nothing_to_replace(worker_process, monkeypatch):
    monkeypatch.delitem(sys.modules, "ts.service")
    assert not frames.install()
    assert not frames.is_installed()


def test_the_known_torchserve_is_the_one_these_tests_run_on():
    assert ts.__version__ == frames.VERSION


def other_retrieve(conn, length, timeout):
    raise AssertionError


@pytest.mark.parametrize(
    ("module", "name", "value", "said"),
    [
        (ts, "__version__", "0.13.0", "TorchServe 0.13.0"),
        (codec, "_retrieve_buffer", other_retrieve, "_retrieve_buffer with other parameters"),
        (ts.service, "create_predict_response", print, "no function create_predict_response"),
    ],
)
def test_an_unknown_torchserve_keeps_its_own(
    worker_process, monkeypatch, caplog, module, name, value, said
):
    monkeypatch.setattr(module, name, value)
    before = functions()
    with caplog.at_level(logging.INFO, "eisen_deploy.serving"):
        assert not frames.install()
    assert functions() == before
    assert [record.getMessage() for record in caplog.records] == [
        f"{said}: bodies are copied as this TorchServe does it"
    ]
