"""Calls of our client from several threads, each answer compared with its own request."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count, pairwise
from typing import NamedTuple

import numpy as np

from eisen_deploy.client import EisenClientError, EisenServingClient, Prediction, Retries

from .archives import COLUMNS, Version

RIGHT = "right"
WRONG = "wrong"
_POLL = 0.05


class Outcome(NamedTuple):
    """What became of one call.

    :param kind: ``right``, ``wrong``, or the error's class, status and type.
    :param is_typed: whether it is an error of the client's that is not an answer without a type.
    :param number: that of the version which answered; 0 if none did.
    """

    thread: int
    start: float
    end: float
    kind: str
    is_typed: bool = True
    number: int = 0
    text: str = ""


class Load:
    """Threads that call a model so often, from entering this on.

    :param calls: of each thread at least; they go on until this is left.
    :param seconds: over which that many are spread; 0 for one right after the other.
    :param waits: seconds that the model takes for a call: one of these.
    :param versions: those that may answer.
    """

    def __init__(
        self,
        url: str,
        versions: Iterable[Version],
        *,
        threads: int,
        calls: int,
        seconds: float,
        waits: tuple[float, ...] = (0.0, 0.05, 0.3),
        retries: int | Retries = 3,
        idempotent: bool = False,
    ) -> None:
        self.outcomes: list[Outcome] = []
        self.threads, self.calls = threads, calls
        self._seconds, self._waits, self._idempotent = seconds, waits, idempotent
        self._versions = {each.digest: each.number for each in versions}
        self._client = EisenServingClient(url, retries=retries)
        self._stop, self._released = threading.Event(), threading.Event()
        self._began = 0.0
        self._threads = [
            threading.Thread(target=self._work, args=[number], daemon=True)
            for number in range(threads)
        ]

    def __enter__(self) -> Load:  # noqa: PYI034 - Self is Python 3.11
        self._client.wait_ready(120)
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._released.set()
        if kind is not None:
            self._stop.set()
        for thread in self._threads:
            thread.join()
        self._client.close()

    def wait_for_share(self, share: float) -> None:
        """Wait until that share of the calls has ended."""
        while len(self.outcomes) < share * self.threads * self.calls:
            time.sleep(_POLL)

    def _work(self, thread: int) -> None:
        for call in count():
            if call >= self.calls and self._released.is_set():
                return
            due = self._began + self._seconds * call / self.calls
            if self._stop.wait(max(0.0, due - time.monotonic())):
                return
            self.outcomes.append(self._call(thread))

    def _call(self, thread: int) -> Outcome:
        x = unique_row()
        x[0, -1] = random.choice(self._waits)  # noqa: S311
        start, sent = time.monotonic(), x.copy()
        try:
            reply = self._client.predict({"x": x}, idempotent=self._idempotent)
        except EisenClientError as error:
            kind = " ".join(
                str(part)
                for part in (type(error).__name__, error.status, error.type)
                if part is not None
            )
            is_typed = error.status is None or error.type is not None
            return Outcome(thread, start, time.monotonic(), kind, is_typed, text=str(error))
        except Exception as error:  # noqa: BLE001 - it is what must not be
            kind, text = f"untyped {type(error).__name__}", str(error)
            return Outcome(thread, start, time.monotonic(), kind, is_typed=False, text=text)
        number, problem = self._check(reply, sent)
        kind = WRONG if problem else RIGHT
        return Outcome(thread, start, time.monotonic(), kind, number=number, text=problem)

    def _check(self, reply: Prediction, sent: np.ndarray) -> tuple[int, str]:
        """Return the number of the version that answered, and what is wrong with the answer."""
        number = self._versions.get(reply.model.digest or "", 0)
        if not number or reply.model.version != f"{number}.0":
            return 0, f"the reply says that it is of {reply.model}"
        right = np.array_equal(reply["y"], 2 * sent + number)
        return number, "" if right else f"{sent.tolist()} was answered {reply['y'].tolist()}"


def unique_row() -> np.ndarray:
    """Return numbers that no other call has, and of which the answer is exact."""
    drawn = np.random.default_rng().integers(2**51, size=(1, COLUMNS))
    return drawn.astype(np.float64)


@dataclass(frozen=True)
class Summary:
    """The figures of a load.

    :param errors: how many of each kind.
    :param most: errors of one thread between two strikes, at most.
    """

    calls: int
    right: int
    wrong: int
    untyped: int
    errors: dict[str, int]
    by_version: dict[int, int]
    most: int
    longest: float
    examples: dict[str, str]


def summarize(load: Load, strikes: Iterable[float]) -> Summary:
    """Count what became of the calls.

    :param strikes: when, by the monotonic clock, something was done to the cluster.
    """
    outcomes, times = list(load.outcomes), sorted(strikes)
    kinds = Counter(each.kind for each in outcomes)
    failed = [each for each in outcomes if each.kind not in (RIGHT, WRONG)]
    each_kill = Counter(
        (each.thread, sum(moment <= each.end for moment in times)) for each in failed
    )
    return Summary(
        calls=len(outcomes),
        right=kinds[RIGHT],
        wrong=kinds[WRONG],
        untyped=sum(not each.is_typed for each in failed),
        errors=dict(Counter(each.kind for each in failed)),
        by_version=dict(sorted(Counter(e.number for e in outcomes if e.kind == RIGHT).items())),
        most=max(each_kill.values(), default=0),
        longest=round(max((each.end - each.start for each in outcomes), default=0.0), 1),
        examples={each.kind: each.text for each in outcomes if each.text},
    )


def find_gap(load: Load, start: float, end: float) -> float:
    """Return the longest time without a right answer, in seconds, between two moments."""
    found = sorted(each.end for each in list(load.outcomes) if each.kind == RIGHT)
    moments = [start, *(moment for moment in found if start <= moment <= end), end]
    return round(max(later - sooner for sooner, later in pairwise(moments)), 1)
