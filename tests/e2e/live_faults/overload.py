"""More requests than a server can answer, offered by a clock and not by its answers."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from urllib.parse import urlsplit

#: Seconds that the model takes for a batch, whatever its size: they are what limits it.
_SECONDS = 0.2
_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}


class Found(NamedTuple):
    """What became of the requests.

    :param goodput: right answers a second, while requests were offered.
    :param refused_within: seconds in which 99 of 100 refusals were known.
    """

    statuses: dict[int, int]
    goodput: float
    wrong: int
    refused_within: float


def offer(url: str, *, threads: int, seconds: float, per_second: float | None = None) -> Found:
    """Send requests, each on a connection of its own.

    :param per_second: how many are begun; by default each thread sends one after the other.
    """
    ends: list[tuple[int, float, bool]] = []
    wrong: list[bool] = []
    start, lock, begun = time.monotonic(), threading.Lock(), 0

    def is_time_left() -> bool:
        """Wait for the turn of the next request."""
        nonlocal begun
        with lock:
            due = start + (begun / per_second if per_second else 0)
            begun += 1
        time.sleep(max(0.0, due - time.monotonic()))
        return time.monotonic() - start < seconds

    def work(number: int) -> None:
        while is_time_left():
            began = time.monotonic()
            status, is_right = _ask(url, number)
            now = time.monotonic()
            ends.append((status, now - began, is_right and now - start < seconds))
            wrong.append(status == 200 and not is_right)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
    refused = sorted(seconds for status, seconds, _ in ends if status == 503)
    right = sum(is_right for *_, is_right in ends)
    return Found(
        dict(Counter(status for status, *_ in ends)),
        right / seconds,
        sum(wrong),
        round(refused[int(0.99 * len(refused))], 3) if refused else 0.0,
    )


def _ask(url: str, number: int) -> tuple[int, bool]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    try:
        body = json.dumps({"x": [[number, 1, 2, _SECONDS]]})
        connection.request("POST", parts.path, body, _HEADERS)
        answer = connection.getresponse()
        said = json.loads(answer.read())
        return answer.status, answer.status == 200 and said["y"][0][0] == 2 * number + 1
    finally:
        connection.close()
