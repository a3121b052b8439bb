"""Runs cases, many at a time, and reports what ended otherwise than expected."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from tests.client.conftest import ScriptedServer

from eisen_deploy.client import EisenServingClient

from .cases import METADATA, RETRIES, Case, Peer, Tally, Y

#: Seconds after its deadline at which a call has ended.
SLACK = 0.5


class Outcome(NamedTuple):
    """The outcome of a case.

    :param late: seconds from the deadline of a call to its end, of the latest call.
    """

    case: Case
    problems: list[str]
    late: float


def run_all(cases: Iterable[Case], workers: int) -> list[Outcome]:
    """Run cases on so many threads, each with a server of its own."""
    left, lock, outcomes = iter(list(cases)), threading.Lock(), []

    def work() -> None:
        server = ScriptedServer(lambda _: None)
        try:
            while True:
                with lock:
                    case = next(left, None)
                if case is None:
                    break
                outcomes.append(run_one(case, server))
        finally:
            server.close()
        outcomes.extend(
            Outcome(case, [f"the script raised {failure!r}"], 0) for failure in server.failures
        )

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def run_one(case: Case, server: ScriptedServer) -> Outcome:
    """Run one case against a server that runs no other one meanwhile."""
    tally = Tally()
    server.script = lambda conversation: case.script(Peer(conversation, tally))
    options = {"timeout": case.timeout, "retries": RETRIES, **case.client}
    problems, late = [], []
    with EisenServingClient(server.url, **options) as client:
        for index, expected in enumerate((case.expected, *case.then)):
            if index and case.waits and not tally.ready.wait(5):
                problems.append("the script never let the next call begin")
            tally.ready.clear()
            start = time.monotonic()
            problem = _judge(client, case, expected)
            late.append(time.monotonic() - start - case.timeout)
            if problem:
                problems.append(f"call {index + 1}: {problem}")
    if max(late) > SLACK:
        problems.append(f"ended {max(late):.2f} s after its deadline")
    if tally.requests != case.requests:
        problems.append(f"{tally.requests} requests, not {case.requests}")
    connections = case.requests if case.connections is None else case.connections
    if tally.connections != connections >= 0:
        problems.append(f"{tally.connections} connections, not {connections}")
    return Outcome(case, problems, max(late))


def _judge(client: EisenServingClient, case: Case, expected: type | None) -> str | None:
    try:
        if case.batch is None:
            result, wanted = client.get_metadata(**case.call), METADATA
        else:
            result, wanted = client.predict(case.batch, **case.call), {"y": Y}
    except Exception as error:  # noqa: BLE001 - whatever it is
        if type(error) is not expected:
            return f"{type(error).__name__}, not {_name(expected)}: {error}"
        return None if _is_presentable(str(error)) else f"not one short line: {str(error)[:200]!r}"
    if expected is not None:
        return f"a result, not {_name(expected)}"
    return None if _equal(result, wanted) else "another result than the server's"


def _is_presentable(text: str) -> bool:
    return len(text) < 3000 and text.isprintable()


def _equal(result: dict[str, Any], wanted: dict[str, Any]) -> bool:
    if wanted is METADATA:
        return result == METADATA
    if list(result) != ["y"] or not isinstance(result["y"], np.ndarray):
        return False
    return result["y"].dtype == Y.dtype and np.array_equal(result["y"], Y)


def _name(expected: type | None) -> str:
    return "the right result" if expected is None else expected.__name__
