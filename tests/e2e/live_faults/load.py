"""Honest calls from several threads, each compared with the answer it must have."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from eisen_deploy.client import EisenClientError, EisenServingClient, Retries

#: Seconds after its deadline by which a call has to have ended.
GRACE = 1.0
RIGHT = "right"
#: A reply of so many rows of four numbers is over 1 MiB, and comes in pieces.
LARGE_ROWS = 2**16


class Outcome(NamedTuple):
    """What became of one call.

    :param kind: ``right``, or the name of the error.
    :param start: by ``time.monotonic``.
    :param pid: the worker that answered; 0 if none did.
    """

    kind: str
    start: float
    seconds: float
    pid: int = 0

    @property
    def end(self) -> float:
        return self.start + self.seconds


class Load:
    """Threads that call a model again and again, from entering this to leaving it.

    ``outcomes`` are those of their calls; ``problems`` whatever may not be.

    :param url: of a model that pack_waiting.py has packed.
    :param timeouts: of each call one of these, in seconds.
    :param waits: seconds that the model is told to take, of each call one of these.
    :param large_share: of the calls; their replies are over 1 MiB.
    :param total: of calls after which they end by themselves.
    """

    def __init__(
        self,
        url: str,
        *,
        threads: int = 4,
        timeouts: Sequence[float] = (3.0, 20.0),
        waits: Sequence[float] = (0.0, 0.05, 0.2),
        large_share: float = 0.1,
        total: float = float("inf"),
        pause: float = 0.01,
    ) -> None:
        self.outcomes: list[Outcome] = []
        self.problems: list[str] = []
        #: The text of the first error of each kind.
        self.examples: dict[str, str] = {}
        self.retried = 0
        self._timeouts, self._waits, self._large_share = timeouts, waits, large_share
        self._left, self._pause = total, pause
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._client = EisenServingClient(url, retries=Retries(3, random=self._drawn_for_a_retry))
        names = range(threads)
        self._threads = [threading.Thread(target=self._work, args=[n], daemon=True) for n in names]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self.join()
        self._client.close()

    def join(self, seconds: float | None = None) -> None:
        """Wait until the threads have ended: after all calls, or after those under way."""
        deadline = time.monotonic() + (seconds or max(self._timeouts) + 10)
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                self.problems.append(f"{thread.name} hangs")

    @property
    def is_running(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def kinds(self, start: float = 0.0, end: float = float("inf")) -> Counter[str]:
        """Count what became of the calls that began in a time."""
        meant = (each for each in list(self.outcomes) if start <= each.start < end)
        return Counter(each.kind for each in meant)

    def report(self) -> dict[str, object]:
        """Return the numbers of a run."""
        right = sorted(each.seconds for each in list(self.outcomes) if each.kind == RIGHT)
        return {
            "calls": len(self.outcomes),
            "outcomes": dict(self.kinds()),
            "sent again": self.retried,
            "median of right ones": round(right[len(right) // 2], 3) if right else None,
            "problems": self.problems,
            "examples": self.examples,
        }

    def _drawn_for_a_retry(self) -> float:
        with self._lock:
            self.retried += 1
        return random.random()

    def _work(self, number: int) -> None:
        draw = random.Random(number)
        while not self._stop.is_set() and self._takes_one():
            self._ask_anything(draw, is_idempotent=number % 2 == 0)
            self._stop.wait(self._pause)

    def _takes_one(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left >= 0

    def _ask_anything(self, draw: random.Random, *, is_idempotent: bool) -> None:
        is_large = draw.random() < self._large_share
        x = unique_rows(LARGE_ROWS if is_large else draw.choice([1, 1, 1, 2, 3]))
        x[:, -1] = draw.choice(self._waits)
        timeout = draw.choice(self._timeouts)
        self.outcomes.append(self.ask(x, timeout, is_idempotent=is_idempotent))

    def ask(self, x: np.ndarray, timeout: float, *, is_idempotent: bool) -> Outcome:
        """Make one call, and note whatever may not be."""
        start = time.monotonic()
        pid = 0
        try:
            reply = self._client.predict({"x": x}, timeout=timeout, idempotent=is_idempotent)
            kind = RIGHT if np.array_equal(reply["y"], 2 * x + 1) else "wrong"
            pid = int(reply["pid"][0])
        except EisenClientError as error:
            kind = type(error).__name__
            self.examples.setdefault(kind, str(error))
        except Exception as error:  # noqa: BLE001 - its absence is shown
            kind = f"untyped {error!r}"
        seconds = time.monotonic() - start
        # A reply with another request's id is malformed to the client.
        if kind in ("wrong", "MalformedReply") or kind.startswith("untyped"):
            self.problems.append(f"{kind}: {self.examples.get(kind, 'other values')}")
        if seconds > timeout + GRACE:
            self.problems.append(f"{kind} after {seconds:.2f} s, the deadline was {timeout} s")
        return Outcome(kind, start, seconds, pid)


def unique_rows(count: int) -> np.ndarray:
    """Return numbers that no other call has, and whose double plus 1 is exact."""
    drawn = np.random.default_rng().integers(2**52, size=(count, 4))
    return drawn.astype(np.float64)
