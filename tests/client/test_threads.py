"""The threads that calls run on: used again, gone after a while, none of a parent process."""

from __future__ import annotations

import os
import threading
import time

import pytest

from eisen_deploy.client._waiting import threads
from eisen_deploy.client._waiting.threads import Outcome, start


def run(work):
    outcome = Outcome(work)
    start(outcome)
    assert outcome.wait(5)
    return outcome.take()


def test_calls_one_after_the_other_use_one_thread():
    assert len({run(threading.get_ident) for _ in range(50)}) == 1


def test_calls_at_once_have_a_thread_each():
    barrier = threading.Barrier(8)
    outcomes = [Outcome(lambda: (barrier.wait(5), threading.get_ident())[1]) for _ in range(8)]
    for outcome in outcomes:
        start(outcome)
    assert all(outcome.wait(5) for outcome in outcomes)
    assert len({outcome.take() for outcome in outcomes}) == 8


def test_what_it_raises_is_raised_where_it_is_awaited_and_the_thread_lives_on():
    first = run(threading.get_ident)

    def fail():
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        run(fail)
    assert run(threading.get_ident) == first


def test_an_idle_thread_ends_after_a_while(monkeypatch):
    monkeypatch.setattr(threads, "IDLE_SECONDS", 0.05)
    monkeypatch.setattr(threads, "_idle", [])
    ident = run(threading.get_ident)
    end = time.monotonic() + 5
    while any(each.ident == ident for each in threading.enumerate()):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert threads._idle == []
    assert run(lambda: 1) == 1


def test_work_that_is_not_done_is_not_awaited_for_ever():
    release = threading.Event()
    outcome = Outcome(release.wait)
    start(outcome)
    assert not outcome.wait(0.01)
    release.set()
    assert outcome.wait(5)
    assert outcome.wait(5), "it stays done"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_that_was_forked_has_threads_of_its_own():
    run(threading.get_ident)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if run(os.getpid) == os.getpid() else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
