"""Frames as TorchServe's own functions read and write them, over real sockets."""

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

from eisen_deploy.serving.runtime.torchserve import frames, receiving, sending
from eisen_deploy.serving.runtime.torchserve.receiving import HUGE, LARGE
from eisen_deploy.serving.runtime.torchserve.sending import PIECE, Parts

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ResourceWarning)  # it leaves its version.txt open
    import ts
    import ts.service
    from ts.context import Context, RequestProcessor
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


@pytest.fixture
def pair():
    here, there = socket.socketpair()
    with here, there:
        yield here, there


@pytest.fixture
def feed(pair):
    """Send bytes from another thread, then close; gives the end to read from."""
    here, there = pair
    threads = []

    def _feed(raw):
        def _send():
            there.sendall(raw)
            there.shutdown(socket.SHUT_WR)

        threads.append(threading.Thread(target=_send))
        threads[-1].start()
        return here

    yield _feed
    here.close()
    for thread in threads:
        thread.join()


def read_all(conn, count, retrieve, monkeypatch):
    monkeypatch.setattr(codec, "_retrieve_buffer", retrieve)
    return [codec.retrieve_msg(conn) for _ in range(count)]


@pytest.mark.parametrize("seed", range(20))
def test_frames_that_come_in_pieces_are_read_as_torchserve_reads_them(seed, monkeypatch):
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


# --- answers ------------------------------------------------------------------------------


def random_answer(rng):
    """Return replies in buffers, ids and a context, as the handler leaves them."""
    count = rng.randrange(1, 9)
    context = Context("model", ".", {}, 8, None, "0.12.0")
    context.request_processor = [RequestProcessor({}) for _ in range(count)]
    for index in range(count):
        if rng.random() < 0.8:
            context.set_response_status(rng.choice([200, 422, 507, None]), "", index)
        for number in range(rng.randrange(5)):
            context.set_response_header(index, f"Eisen-{number}", "v" * rng.randrange(50))
        if rng.random() < 0.8:
            context.set_response_header(index, "content-type", "application/octet-stream")
    replies = [random_parts(rng) for _ in range(count)]
    return replies, {index: f"id-{index}" for index in range(count)}, context


def random_parts(rng):
    sizes = rng.choices(SIZES, weights=[9, 9, 9, 9, 9, 9, 1, 1, 1, 1], k=rng.randrange(1, 4))
    kinds = [bytes, bytearray, memoryview]
    return Parts(rng.choice(kinds)(rng.randbytes(size)) for size in sizes)


def joined(replies):
    return [b"".join(reply.buffers) for reply in replies]


def sent_and_returned(pair, context, respond, *args):
    """Return what went over the socket, then what the worker is left to send."""
    here, there = pair
    context.cl_socket = here
    received = bytearray()

    def _drain():
        while piece := there.recv(10_000):
            received.extend(piece)

    reader = threading.Thread(target=_drain)
    reader.start()
    rest = respond(*args, context=context)
    here.shutdown(socket.SHUT_WR)
    reader.join()
    return bytes(received), rest


@pytest.mark.parametrize("seed", range(150))
def test_an_answer_is_byte_for_byte_torchserves(seed, pair):
    replies, ids, context = random_answer(random.Random(seed))
    expected = TORCHSERVES[1](joined(replies), ids, "Prediction success", 200, context)
    respond = sending.make_responder(TORCHSERVES[1], [])
    sent, rest = sent_and_returned(pair, context, respond, replies, ids, "Prediction success", 200)
    assert sent + rest == expected


# --- large replies, in pieces ---------------------------------------------------------------


class Answers:
    """Reads answers as ``ModelResponseDecoder`` does, and puts replies together as ``RestJob``."""

    def __init__(self, raw, ids):
        self.rest, self.waiting = memoryview(raw), set(ids)
        self.bodies = dict.fromkeys(ids, b"")
        self.heads = {}
        self.largest = 0

    def number(self):
        value = struct.unpack("!i", self.rest[:4])[0]
        self.rest = self.rest[4:]
        return value

    def text(self):
        return self.take(self.number()).decode()

    def take(self, size):
        taken, self.rest = bytes(self.rest[:size]), self.rest[size:]
        assert len(taken) == size
        return taken

    def read(self):
        """Read one answer; whether the batch is done with it, as ``BatchAggregator`` decides."""
        done = True
        assert (self.number(), self.text()) == (200, "ok")
        while (size := self.number()) != -1:
            name = self.take(size).decode()
            assert name in self.waiting, "an item for a request that is answered already"
            head = [self.text(), self.number(), self.text()]
            headers = {self.text(): self.text() for _ in range(self.number())}
            more = headers.pop("ts_stream_next", None)
            self.heads.setdefault(name, (head, headers, more is not None))
            body = self.take(self.number())
            self.bodies[name] += body
            self.largest = max(self.largest, len(body))
            done = done and more != "true"
        return done

    def read_all(self):
        while not self.read():
            assert self.rest
        assert not self.rest, "something follows the answer that ends the batch"


@pytest.mark.parametrize("seed", range(60))
def test_replies_in_pieces_arrive_whole(seed, pair):
    rng = random.Random(seed)
    replies, ids, context = random_answer(rng)
    for index in ids:
        if rng.random() < 0.5:
            size = rng.choice([PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 5 * PIECE + 7])
            cut = rng.randrange(size)
            raw = rng.randbytes(size)
            replies[index] = Parts([raw[:cut], b"", memoryview(raw)[cut:]], streamed=True)
    expected = dict(zip(ids.values(), joined(replies), strict=True))
    heads = {
        name: (
            [context.get_response_content_type(i) or "", context.get_response_status(i)[0] or 200],
            dict(context.get_response_headers(i)),
        )
        for i, name in ids.items()
    }
    respond = sending.make_responder(TORCHSERVES[1], [])
    sent, rest = sent_and_returned(pair, context, respond, replies, ids, "ok", 200)
    answers = Answers(sent + rest, ids.values())
    answers.read_all()
    assert answers.bodies == expected
    for name, (head, headers, is_stream) in answers.heads.items():
        assert head[:2] == heads[name][0]
        assert headers == heads[name][1]
        assert is_stream == (len(expected[name]) > PIECE and len(expected[name]) in LARGE_SIZES)
    assert answers.largest <= max(PIECE, max(SIZES) * 3)


LARGE_SIZES = {PIECE + 1, 3 * PIECE, 5 * PIECE + 7}


def test_a_stream_has_its_pieces_where_they_lie():
    raw = memoryview(bytearray(3 * PIECE))
    pieces = list(Parts([b"head", raw], streamed=True).pieces())
    assert [sum(map(len, piece)) for piece in pieces] == [PIECE, PIECE, PIECE, 4]
    assert all(view.obj is raw.obj for piece in pieces for view in piece[-1:])


def test_a_large_buffer_is_sent_from_where_it_lies():
    class Socket:
        sent: list[object]

        def sendall(self, piece):
            self.sent.append(piece)

    conn = Socket()
    conn.sent = []
    large = memoryview(bytearray(2 * LARGE))
    rest = sending.send_all_but_the_end(conn, [b"head", b"json", large, b"end", b"mark"])
    assert conn.sent == [b"headjson", large]
    assert conn.sent[1] is large
    assert rest == b"endmark"


def not_plain():
    """Yield a name, then what TorchServe has more to do with than to write it down."""
    rng = random.Random(5)
    replies, ids, _ = random_answer(rng)
    yield "error", (None, ids, "Prediction failed", 503), None
    yield (
        "foreign",
        (["text", b"bytes", {"a": 1}], {0: "a", 1: "b", 2: "c"}, "ok", 200),
        context_of(3),
    )
    yield "mixed", ([replies[0], "text"], {0: "a", 1: "b"}, "ok", 200), context_of(2)
    yield "no context", (replies, ids, "ok", 200), None
    streamed = context_of(1)
    streamed.set_response_header(0, "ts_stream_next", "true")
    yield "stream", ([replies[0]], {0: "a"}, "ok", 200), streamed
    stopping = context_of(1)
    stopping.stopping_criteria = [lambda value: len(value) > 3]
    yield "stopping", ([replies[0]], {0: "a"}, "ok", 200), stopping


def context_of(count):
    context = Context("model", ".", {}, 8, None, "0.12.0")
    context.request_processor = [RequestProcessor({}) for _ in range(count)]
    return context


@pytest.mark.parametrize("case", list(not_plain()), ids=lambda case: case[0])
def test_all_else_is_left_to_torchserve(case):
    _, (ret, *args), context = case
    plain = [b"".join(i.buffers) if isinstance(i, Parts) else i for i in ret] if ret else ret
    headers = context and [dict(context.get_response_headers(i)) for i in args[0]]
    got = sending.make_responder(TORCHSERVES[1], [])(ret, *args, context=context)
    for index in args[0] if context else ():  # TorchServe notes there that the stream has ended
        context.get_response_headers(index).clear()
        context.get_response_headers(index).update(headers[index])
    assert got == TORCHSERVES[1](plain, *args, context=context)


def test_a_piece_of_a_stream_is_left_to_torchserve():
    args = ([Parts([b"some", b"thing"])], {0: "a"}, "ok", 200)
    got = sending.make_responder(TORCHSERVES[1], [])(*args, context_of(1), True)
    assert got == TORCHSERVES[1]([b"something"], *args[1:], context_of(1), True)


def test_only_the_first_of_a_group_of_workers_answers(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    respond = sending.make_responder(TORCHSERVES[1], [])
    assert respond([Parts([b"x"])], {0: "a"}, "ok", 200, context_of(1)) is None


def test_what_cannot_be_written_down_fails_before_a_byte_is_sent(pair):
    context = context_of(1)
    context.cl_socket = pair[0]
    context.set_response_header(0, "Eisen-Model-Name", None)
    with pytest.raises(AttributeError):
        sending.make_responder(TORCHSERVES[1], [])(
            [Parts([bytes(2 * LARGE)])], {0: "a"}, "", 200, context
        )
    pair[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        pair[1].recv(1)


def test_a_server_that_is_gone_is_an_error_as_for_sendall(pair):
    context = context_of(1)
    context.cl_socket = pair[0]
    pair[1].close()
    with pytest.raises(OSError, match=r"pipe|reset"):
        sending.make_responder(TORCHSERVES[1], [])(
            [Parts([bytes(2 * LARGE)])], {0: "a"}, "", 200, context
        )


def test_the_memory_of_huge_bodies_is_given_back_with_the_answer(feed):
    received = []
    retrieve = receiving.make_retriever(received)
    conn = feed(bytes(2 * HUGE + LARGE))
    kept, used, gone = (retrieve(conn, size) for size in (LARGE, HUGE, HUGE))
    view = memoryview(used)
    here, there = socket.socketpair()
    with here, there:
        context = context_of(1)
        context.cl_socket = here
        answer = [Parts([memoryview(gone)[:3], b"x"])]
        sending.make_responder(TORCHSERVES[1], received)(answer, {0: "a"}, "", 200, context)
    assert [len(body) for body in (kept, used, gone)] == [LARGE, HUGE, 0]
    assert len(view) == HUGE
    assert received == []


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
