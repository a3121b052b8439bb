"""A server that breaks every rule: each call ends in time, with the right error, sent once.

The cases are in ``fault_server``: what the server does, what the client has to make of it, and how
many requests it may send for that.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from eisen_deploy.client import DeadlineExceeded, EisenClientError, UnknownOutcome

from .conftest import ScriptedServer
from .fault_server import bodies, bombs, connections, cuts, framing, pace, running
from .fault_server.cases import GOOD, Case, oip, resets, sends
from .fault_server.memory_client import TIMEOUT

#: Of each family: its cases, how many threads run them, and each which one is in the inner loop.
FAMILIES = {
    "cuts": (list(cuts.cases()), 4, 61),
    "framing": (list(framing.cases()), 4, 5),
    "bodies": (list(bodies.cases()), 4, 17),
    "connections": (list(connections.cases()), 4, 2),
    "pace": (list(pace.cases()), 12, 4),
}
LEAKING = list(framing.leaking())
MEMORY_CLIENT = Path(running.__file__).with_name("memory_client.py")

takes_long = pytest.mark.slow
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def check(cases, workers):
    """Run cases, and fail with all that is wrong."""
    outcomes = running.run_all(cases, workers)
    wrong = [f"{outcome.case.name}: {'; '.join(outcome.problems)}" for outcome in outcomes
             if outcome.problems]  # fmt: skip
    assert wrong == []
    assert len(outcomes) == len(cases)


def test_there_are_cases_enough_and_each_has_a_name():
    names = [case.name for cases, _, _ in FAMILIES.values() for case in cases]
    assert len(set(names)) == len(names) >= 1500


@pytest.mark.parametrize("family", FAMILIES)
def test_some_faults_of_each_family(family):
    cases, workers, step = FAMILIES[family]
    check(cases[::step], workers)


@takes_long
@pytest.mark.parametrize("family", FAMILIES)
def test_every_fault(family):
    cases, workers, _ = FAMILIES[family]
    check(cases, workers)


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_lengths_that_differ():
    check(LEAKING, 1)


@pytest.mark.parametrize(
    ("case", "problem"),
    [
        (Case("x", sends(GOOD), UnknownOutcome), "a result, not UnknownOutcome"),
        (Case("x", sends(oip({"y": 5})), None), "another result"),
        (Case("x", sends(oip({"y": np.arange(5.0)})), None), "another result"),
        (Case("x", sends(GOOD[:-1]), None), "UnknownOutcome, not the right result"),
        (Case("x", sends(GOOD[:-1]), EisenClientError), "UnknownOutcome, not EisenClientError"),
        (Case("x", sends(GOOD), None, requests=2, connections=1), "1 requests, not 2"),
        (Case("x", sends(GOOD), None, connections=2), "1 connections, not 2"),
        (Case("x", resets(), UnknownOutcome, call={"idempotent": True}), "4 requests, not 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_outcome_is_found(case, problem):
    """Else the tests above show nothing."""
    (outcome,) = running.run_all([case], 1)
    assert problem in "; ".join(outcome.problems)


def test_a_call_that_ends_late_is_found():
    case = Case("x", pace.stalls(b""), DeadlineExceeded, timeout=0.05)
    assert running.run_all([case], 1)[0].problems == []
    late = case._replace(call={"timeout": 0.8})
    assert "after its deadline" in running.run_all([late], 1)[0].problems[0]


# --- memory -------------------------------------------------------------------------------


def ask(names):
    """Return what each bomb took: ``{name: (error, seconds, bytes above those at the start)}``."""
    listed = bombs.bombs()

    def script(peer):
        request = peer.receive()
        name = request.line.split()[1].rpartition("/")[2]
        for piece in listed[name].pieces:
            peer.send(piece)

    server = ScriptedServer(script)
    asked = [f"{name}:{listed[name].method}" for name in names]
    url = f"http://127.0.0.1:{server.port}"
    command = [sys.executable, MEMORY_CLIENT, url, str(bombs.CAP), *asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    server.close()
    assert (done.returncode, done.stderr, server.failures) == (0, "", [])
    lines = map(json.loads, done.stdout.splitlines())
    return {name: tuple(told) for name, *told in lines}


def check_memory(name, expected, took):
    """Fail if a bomb took another way, more time or more memory than it may."""
    error, seconds, grown = took[name]
    assert error == (expected and expected.__name__), name
    assert seconds < TIMEOUT + running.SLACK, name
    assert grown <= bombs.CAP + 64 * bombs.MIB, name


@takes_long
@linux
def test_memory_stays_within_the_cap_and_64_mib():
    listed = bombs.bombs()
    took = ask(listed)
    for name, bomb in listed.items():
        check_memory(name, bomb.expected, took)
