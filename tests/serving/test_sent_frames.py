"""Answers as frames: byte for byte those of TorchServe, large ones in pieces."""

from __future__ import annotations

import random
import socket
import struct
import threading
import warnings

import pytest

from eisen_deploy.serving.runtime.torchserve import receiving, sending
from eisen_deploy.serving.runtime.torchserve.receiving import HUGE, LARGE
from eisen_deploy.serving.runtime.torchserve.sending import PIECE, Parts

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ResourceWarning)  # it leaves its version.txt open
    from ts.context import Context, RequestProcessor
    from ts.protocol import otf_message_handler as codec

TORCHSERVES = codec._retrieve_buffer, codec.create_predict_response
SIZES = [0, 1, 3, 4, 63, 1000, LARGE - 1, LARGE, LARGE + 1, 3 * LARGE]


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


@pytest.mark.quick_cases(10)
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
def test_everything_else_is_left_to_torchserve(case):
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
