"""The queue before the model: bounded, in batches, and nothing in it waits for ever."""

from __future__ import annotations

import http.client
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress

import pytest

from eisen_deploy.serving.engines.asgi import lending
from eisen_deploy.serving.runtime.messages import Reply


class Held:
    """A model that answers when it is let."""

    def __init__(self):
        self.batches = []
        self.go = threading.Event()

    def __call__(self, requests):
        self.batches.append([bytes(each.body) for each in requests])
        assert self.go.wait(20)
        return [Reply((bytes(each.body),)) for each in requests]

    def wait_begun(self, count=1):
        end = time.monotonic() + 10
        while len(self.batches) < count and time.monotonic() < end:
            time.sleep(0.01)
        assert len(self.batches) == count


def ask_all(served, bodies):
    """Ask with each body at once; return the pool's futures."""
    pool = ThreadPoolExecutor(len(bodies))
    return [pool.submit(served.ask, body=body) for body in bodies]


def ask_refused(served, model, body):
    """Return the answer to a request that must not reach a model that holds what does."""
    (asked,) = ask_all(served, [body])
    done, _ = wait([asked], 10)
    if not done:
        model.go.set()
    assert done, "it was not refused: the model has it"
    return asked.result()


def wait_queued(served, count):
    end = time.monotonic() + 10
    while len(served.batcher._waiting) < count and time.monotonic() < end:
        time.sleep(0.01)


def test_a_full_queue_refuses_with_503(serve):
    model = Held()
    served = serve(model, queue=2)
    first = ask_all(served, [b"1"])
    model.wait_begun()
    waiting = ask_all(served, [b"2", b"3"])
    wait_queued(served, 2)
    status, headers, error = ask_refused(served, model, b"4")
    assert (status, error["type"], headers["retry-after"]) == (503, "NotExecuted", "1")
    model.go.set()
    assert [each.result()[2] for each in (*first, *waiting)] == [b"1", b"2", b"3"]


def test_bodies_that_take_too_much_together_are_refused_with_503(serve):
    model = Held()
    served = serve(model, all_bodies=1000)
    first = ask_all(served, [b"1" * 900])
    model.wait_begun()
    for body in (b"2" * 200, iter([b"2" * 60] * 3)):
        status, headers, error = ask_refused(served, model, body)
        assert (status, error["type"], headers["retry-after"]) == (503, "NotExecuted", "1")
        assert "bytes of the 1000" in error["message"]  # 900, or a chunk more
    small = ask_all(served, [b"3" * 50])
    model.go.set()
    assert [len(each.result()[2]) for each in (*first, *small)] == [900, 50]
    assert len(served.ask(body=b"4" * 5000)[2]) == 5000  # alone, it is taken whatever its size


def test_what_waits_together_is_answered_together(serve):
    model = Held()
    served = serve(model, size=4)
    first = ask_all(served, [b"0"])
    model.wait_begun()
    rest = ask_all(served, [b"1", b"2", b"3", b"4", b"5"])
    wait_queued(served, 5)
    model.go.set()
    assert [each.result()[2] for each in (*first, *rest)] == [b"0", b"1", b"2", b"3", b"4", b"5"]
    assert sorted(map(len, model.batches)) == [1, 1, 4]


def test_a_batch_waits_for_more_as_long_as_it_may(serve):
    model = Held()
    model.go.set()
    served = serve(model, size=2, delay=5.0)
    started = time.monotonic()
    answers = ask_all(served, [b"1", b"2"])
    assert {each.result()[2] for each in answers} == {b"1", b"2"}
    assert time.monotonic() - started < 4
    assert len(model.batches) == 1


def test_who_went_away_is_not_begun(serve):
    model = Held()
    served = serve(model)
    first = ask_all(served, [b"1"])
    model.wait_begun()
    gone = served.connect()
    gone.sendall(b"POST /predictions/seg HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\ngone")
    wait_queued(served, 1)
    gone.close()
    time.sleep(0.3)
    last = ask_all(served, [b"2"])
    model.go.set()
    assert [each.result()[2] for each in (*first, *last)] == [b"1", b"2"]
    assert model.batches == [[b"1"], [b"2"]]


def test_what_waits_too_long_for_its_turn_is_answered_with_503(serve):
    model = Held()
    served = serve(model, timeout=0.5)
    first = ask_all(served, [b"1"])
    model.wait_begun()
    second = ask_all(served, [b"2"])
    wait_queued(served, 1)
    time.sleep(0.6)
    assert served.batcher.is_hung
    served.batcher.expire()
    status, _, error = second[0].result()
    assert (status, error["type"]) == (503, "NotExecuted")
    model.go.set()
    assert first[0].result()[0] == 200
    assert model.batches == [[b"1"]]


def test_a_model_that_hangs_is_given_up_with_504(serve):
    model = Held()
    served = serve(model, timeout=0.3)
    running = ask_all(served, [b"1"])
    model.wait_begun()
    waiting = ask_all(served, [b"2"])
    wait_queued(served, 1)
    time.sleep(0.4)
    assert served.batcher.is_hung
    served.batcher.give_up()
    assert (running[0].result()[0], running[0].result()[2]["type"]) == (504, "TimedOut")
    assert (waiting[0].result()[0], waiting[0].result()[2]["type"]) == (503, "NotExecuted")
    assert served.ask(body=b"3")[0] == 503
    model.go.set()


def test_a_reply_does_not_change_when_the_model_uses_its_memory_again(serve):
    memory = bytearray(3 * 2**20)

    def answer(requests):
        memory[:] = bytes(requests[0].body) * (len(memory) // len(requests[0].body))
        return [Reply((memory,))]

    served = serve(answer)
    with ThreadPoolExecutor(8) as pool:
        bodies = [bytes([number]) * 4 for number in range(64)]
        for body, (status, _, got) in zip(
            bodies, pool.map(lambda body: served.ask(body=body), bodies), strict=True
        ):
            assert status == 200
            assert got == body * (len(memory) // 4)


def test_a_model_that_ends_its_thread_is_answered_for_at_once(serve):
    model = Held()

    def end(requests):
        model(requests)
        raise KeyboardInterrupt

    served = serve(end)
    first = ask_all(served, [b"1"])
    model.wait_begun()
    waiting = ask_all(served, [b"2"])
    wait_queued(served, 1)
    model.go.set()
    assert first[0].result()[2]["type"] == "ModelFailed"
    assert waiting[0].result()[2]["type"] == "NotExecuted"
    assert served.ask("GET", "/v2/health/ready", None)[0] == 503


@pytest.fixture
def begin_reading(serve):
    """Ask a model that uses its memory again, and read the start of its large answer only."""
    memory = bytearray(32 * 2**20)

    def answer(requests):
        memory[:] = bytes(requests[0].body) * len(memory)
        return [Reply((memory,))]

    served = serve(answer)
    with served.connect() as connection:
        head = b"POST /predictions/seg HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
        connection.sendall(head + b"Content-Length: 1\r\n\r\n1")
        connection.recv(12)
        yield served, connection, len(memory)


def read_all(connection):
    answer = bytearray()
    while piece := connection.recv(2**20):
        answer += piece
    return answer.partition(b"\r\n\r\n")[2]


def test_a_reply_that_is_read_slowly_does_not_change_either(begin_reading):
    served, connection, size = begin_reading
    assert set(served.ask(body=b"2")[2]) == {ord("2")}
    assert read_all(connection) == b"1" * size


def test_a_reply_that_cannot_be_kept_is_cut_off_and_the_next_is_answered(
    begin_reading, monkeypatch
):
    served, connection, size = begin_reading
    time.sleep(0.3)  # it waits for its reader
    with monkeypatch.context() as patched:
        patched.setattr(lending, "_own", _fail)
        with suppress(http.client.HTTPException, OSError):  # it is cut off too
            served.ask(body=b"2")
    answer = read_all(connection)
    assert set(answer) == {ord("1")}
    assert len(answer) < size
    assert set(served.ask(body=b"3")[2]) == {ord("3")}


def _fail(_buffer):
    raise MemoryError


def test_memory_that_is_not_there_for_a_body_is_said(serve):
    assert served_status(serve(max_body=2**62), 2**61) == 507


def served_status(served, announced):
    with served.connect() as connection:
        head = f"POST /predictions/seg HTTP/1.1\r\nHost: h\r\nContent-Length: {announced}\r\n\r\n"
        connection.sendall(head.encode("ascii"))
        return int(connection.recv(12).split()[1])


def test_a_whole_buffer_is_sent_as_bytes_whatever_it_lies_in():
    """Ray's replicas pickle their messages."""
    buffers = (b"0123", bytearray(b"4567"), memoryview(b"89"), b"")
    whole = list(lending.LentReply(Reply(buffers)).pieces(10))
    assert whole == [b"0123", b"4567", b"89", b""]
    assert [type(piece) for piece in whole] == [bytes] * 4
    cut = list(lending.LentReply(Reply((b"0123456",))).pieces(3))
    assert [bytes(piece) for piece in cut] == [b"012", b"345", b"6"]
