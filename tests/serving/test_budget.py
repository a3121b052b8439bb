"""The time for a batch: what runs too long is ended, what did not run is said not to have."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from eisen_deploy.serving.runtime.answering import interrupts
from eisen_deploy.serving.runtime.answering.budget import Budget, leave_margin
from eisen_deploy.serving.runtime.answering.interrupts import (
    AlarmInterrupt,
    Interrupted,
    ThreadInterrupt,
)
from eisen_deploy.serving.runtime.answering.limits import Limits
from eisen_deploy.serving.runtime.answering.pipeline import answer
from eisen_deploy.serving.runtime.messages import Request


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    """Whatever a test does, signal handler and timer are as before."""
    yield
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def endless():
    while True:
        time.sleep(0.001)


@pytest.fixture(params=[AlarmInterrupt, ThreadInterrupt])
def interrupt(request):
    """Each way to interrupt, soon again where code swallows it."""
    return request.param(again=0.02)


def given_up(function, interrupt):
    with Budget(0.05, interrupt) as budget, pytest.raises(Interrupted):
        budget.run(function)


@pytest.mark.parametrize(
    ("timeout", "seconds"), [(120, 115), (30, 27), (20, 18), (4, 3), (2, 1), (1, 0.5), (1000, 995)]
)
def test_what_a_response_timeout_leaves(timeout, seconds):
    assert leave_margin(timeout) == pytest.approx(seconds)


def test_what_runs_for_ever_is_ended(interrupt):
    given_up(endless, interrupt)


def test_code_that_catches_every_exception_lets_the_end_through(interrupt):
    def stubborn():
        while True:
            with contextlib.suppress(Exception):
                endless()

    given_up(stubborn, interrupt)


def test_a_result_of_code_that_swallowed_the_end_does_not_count(interrupt):
    def partial():
        with contextlib.suppress(BaseException):
            endless()
        return "the first half"

    given_up(partial, interrupt)


def test_an_error_that_code_made_of_the_end_does_not_count(interrupt):
    def translating():
        try:
            endless()
        except BaseException:  # noqa: BLE001 - what is shown
            raise ValueError("a slice failed") from None

    given_up(translating, interrupt)


def test_code_that_swallows_the_end_is_interrupted_again(interrupt):
    def deaf():
        for _ in range(3):
            with contextlib.suppress(BaseException):
                endless()
        endless()

    given_up(deaf, interrupt)


def test_what_ends_in_time_gives_its_result(interrupt):
    with Budget(60, interrupt) as budget:
        assert budget.run(lambda a, b: a + b, 1, 2) == 3
        with pytest.raises(ZeroDivisionError):
            budget.run(lambda: 1 // 0)


def test_an_interruption_outside_of_what_may_be_interrupted_does_nothing(interrupt):
    with Budget(0.01, interrupt) as budget:
        end = time.monotonic() + 0.1
        while time.monotonic() < end:
            sum(range(100))
        assert budget.is_spent
        with pytest.raises(Interrupted):
            budget.check()


def test_without_a_limit_nothing_is_set():
    with Budget(None, AlarmInterrupt()) as budget:
        assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
        assert not budget.is_spent
        assert budget.run(int) == 0


def test_a_handler_and_a_timer_that_were_there_are_there_again():
    def mine(_number, _frame):
        raise AssertionError("not in this test")

    before = signal.signal(signal.SIGALRM, mine)
    signal.setitimer(signal.ITIMER_REAL, 1000, 7)
    try:
        given_up(endless, AlarmInterrupt())
        assert signal.getsignal(signal.SIGALRM) is mine
        left, interval = signal.getitimer(signal.ITIMER_REAL)
        assert 900 < left < 1000
        assert interval == 7
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run_on_a_thread(work):
    """Return what a function returns on a thread that is not Python's main one."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(work).result(60)


def test_an_alarm_in_another_thread_only_has_the_time_checked():
    def work():
        with Budget(0.01, AlarmInterrupt()) as budget:
            budget.run(time.sleep, 0.05)

    with pytest.raises(Interrupted):
        run_on_a_thread(work)


def test_what_runs_for_ever_on_another_thread_is_ended_there():
    run_on_a_thread(lambda: given_up(endless, ThreadInterrupt()))


def was_interrupted(budget):
    try:
        budget.run(sum, (1, 2))
        budget.run(lambda: sum((1, 2)))
    except Interrupted:
        return True
    return False


def test_alarms_at_any_moment_never_get_out():
    """Thousands of alarms, at all instructions of ours: each batch is ended by one or not."""
    ended = 0
    for number in range(300):
        with Budget(1e-5 * (number + 1), AlarmInterrupt()) as budget:
            for _ in range(20):
                ended += was_interrupted(budget)
    assert ended > 0


def add_up(count):
    total = 0
    for number in range(count):
        total += number
    return total


def count_outcomes(interrupt, batches):
    """Answer short batches, each followed by ones that have time; return how many were ended."""
    numbers = random.Random(7)
    ended = 0
    for _ in range(batches):
        count = numbers.randrange(5000)
        with Budget(numbers.random() * 2e-4, interrupt) as budget:
            try:
                assert budget.run(add_up, count) == sum(range(count))
            except Interrupted:
                ended += 1
        for seconds in (None, 60):
            with Budget(seconds, interrupt) as budget:
                assert budget.run(add_up, 1000) == sum(range(1000))
    add_up(100_000)
    return ended


@pytest.fixture
def switching_often():
    """Threads take turns after a few instructions, not after 5 ms."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.slow
@pytest.mark.usefixtures("switching_often")
def test_interruptions_from_a_thread_at_any_moment_never_get_out():
    """10,000 batches whose time is over about when they end; the next ones never notice.

    Each interruption is followed by another one a moment later, as for code that swallows them.
    """
    ended = run_on_a_thread(lambda: count_outcomes(ThreadInterrupt(again=1e-4), 10_000))
    assert 500 < ended < 9500


@pytest.mark.slow
def test_interruptions_that_are_slow_to_be_sent_never_get_out(monkeypatch):
    """Between looking whether a function runs and interrupting it, the function ends."""
    numbers = random.Random(7)

    class SlowInterrupt(ThreadInterrupt):
        def _send(self):
            time.sleep(numbers.random() * 5e-4)
            return super()._send()

    def look_slowly(frame):
        found = is_in_call(frame)
        time.sleep(numbers.random() * 2e-4)
        return found

    is_in_call = interrupts._is_in_call
    monkeypatch.setattr(interrupts, "_is_in_call", look_slowly)
    ended = run_on_a_thread(lambda: count_outcomes(SlowInterrupt(again=1e-4), 3000))
    assert 100 < ended < 2900


def test_nothing_is_sent_for_a_batch_that_has_been_answered():
    interrupt = ThreadInterrupt()
    interrupt.start(3600)
    interrupt._due = 0.0
    interrupt.stop()
    assert interrupt.call(interrupt._send) is False


def test_an_interruption_that_arrives_while_a_call_is_closed_is_the_last_one():
    """The moment that chance seldom meets: sent while the function runs, raised once it ended."""

    def end_while_one_is_sent(thread):
        interrupt._is_sending = True
        sender.submit(send_late, thread)

    def send_late(thread):
        time.sleep(0.002)
        interrupts._set_exception(thread, Interrupted)
        interrupt._is_sending = False

    def work():
        for _ in range(100):
            with pytest.raises(Interrupted):
                interrupt.call(end_while_one_is_sent, threading.get_ident())
            add_up(100)

    interrupt = ThreadInterrupt()
    with ThreadPoolExecutor(1) as sender:
        run_on_a_thread(work)


# --- in the pipeline -----------------------------------------------------------------------

METADATA = {
    "inputs": [{"name": "x", "type": "ndarray", "shape": [1]}],
    "outputs": [{"name": "y", "type": "ndarray", "shape": [-1]}],
    "model_input_list": ["x"],
    "model_output_list": ["y"],
}
LIMITS = Limits(seconds=0.1, seconds_setting="responseTimeout is 0.2 s")
ENDLESS = 13.0


class Obedient(torch.nn.Module):
    """y = 2 x, but for one number for which it does not come back."""

    def forward(self, x):
        if bool((x == ENDLESS).any()):
            endless()
        return 2 * x


def obey(data):
    if float(data["x"][0]) == -ENDLESS:
        endless()
    return data


def ask(worker, *numbers, limits=LIMITS):
    requests = [
        Request({"content-type": "application/json"}, json.dumps({"x": [x]}).encode())
        for x in numbers
    ]
    return answer(worker.handler, requests, limits)


def told(reply):
    return reply.status, json.loads(reply.body).get("type")


def test_a_model_that_does_not_end_is_answered_and_the_next_request_is_right(start):
    worker = start(Obedient(), METADATA)
    (reply,) = ask(worker, ENDLESS)
    assert told(reply) == (504, "TimedOut")
    assert json.loads(reply.body)["message"] == (
        "inference was not done within the time for a batch: 0.1 s, since responseTimeout is 0.2 s"
    )
    (reply,) = ask(worker, 4, limits=Limits())
    assert json.loads(reply.body) == {"y": [8.0]}


def test_requests_that_were_not_begun_say_so(start):
    worker = start(Obedient(), METADATA, obey)
    done, endless, *others = ask(worker, 4, -ENDLESS, 5, 6)
    assert done.status == 200
    assert told(endless) == (504, "TimedOut")
    assert "pre_process was not done" in json.loads(endless.body)["message"]
    for reply in others:
        assert told(reply) == (503, "NotExecuted")
        assert "nothing was executed" in json.loads(reply.body)["message"]


def test_without_a_transform_nothing_has_begun_before_the_model(start):
    first, second = ask(start(Obedient(), METADATA), ENDLESS, 5)
    assert told(first) == (504, "TimedOut")
    assert told(second) == (503, "NotExecuted")


def test_a_body_that_takes_too_long_to_read_is_answered_and_the_next_request_is_right(start):
    worker = start(Obedient(), METADATA)
    numbers = b'{"x": [' + b"1e100," * 10**6 + b"1]}"
    long = Request({"content-type": "application/json"}, numbers)
    short = Request({"content-type": "application/json"}, b'{"x": [4]}')
    first, second = answer(worker.handler, [long, short], Limits(seconds=0.05))
    assert told(first) == (504, "TimedOut")
    assert json.loads(first.body)["message"].startswith("decode was not done within the time")
    assert told(second) == (503, "NotExecuted")
    assert json.loads(ask(worker, 4, limits=Limits())[0].body) == {"y": [8.0]}


def test_a_common_pass_that_does_not_end_is_that_of_all(start_proven):
    metadata = {**METADATA, "inputs": [{"name": "x", "type": "ndarray", "shape": [-1]}]}
    worker = start_proven(Obedient(), metadata, sample={"x": np.float32([4])})
    replies = ask(worker, 4.0, ENDLESS, 5.0)
    assert [told(reply) for reply in replies] == [(504, "TimedOut")] * 3


def test_requests_that_had_their_answer_keep_it(start):
    worker = start(Obedient(), METADATA)
    broken = Request({"content-type": "application/json"}, b"{")
    endless = Request({"content-type": "application/json"}, json.dumps({"x": [ENDLESS]}).encode())
    replies = answer(worker.handler, [Request({}, b""), broken, endless], LIMITS)
    assert [reply.status for reply in replies] == [200, 400, 504]


def test_a_late_alarm_is_noticed_between_the_stages(start, monkeypatch):
    """As in a thread, or while native code runs: the stage ends late, and no other one begins."""
    monkeypatch.setattr(AlarmInterrupt, "start", lambda *_: None)

    def slow(data):
        time.sleep(0.15)
        return data

    worker = start(Obedient(), METADATA, slow)
    first, second = ask(worker, 4, 5)
    assert told(first) == (504, "TimedOut")
    assert told(second) == (503, "NotExecuted")
    np.testing.assert_equal(json.loads(ask(worker, 4, limits=Limits())[0].body), {"y": [8.0]})
