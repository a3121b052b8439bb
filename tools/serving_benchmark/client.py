"""A process that calls one server and measures the time: ``python -m serving_benchmark.client``.

It reads commands as lines of JSON and answers each with one line. It runs in the environment of its
system, so that the system's own client library is used. Only ``predict(array)`` is timed; making
the array and comparing the reply is not.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from . import models, processes

_TOLERANCE = 1e-3
_LONGEST = 10.0  # seconds of a turn, after which no further call is started


class Command(NamedTuple):
    """One turn.

    :param client: the module of ``systems`` that has ``connect``.
    :param size: bytes of an array, for the task ``echo``.
    :param calls: how many timed calls each thread makes, after ``warm`` others.
    """

    client: str
    address: dict[str, Any]
    task: str
    size: int
    calls: int
    warm: int
    threads: int = 1


def turn(command: Command) -> dict[str, Any]:
    """Make the calls of a turn, and return the seconds of each call and of all together."""
    barrier = threading.Barrier(command.threads)
    work = [_caller(command, number, barrier) for number in range(command.threads)]
    with ThreadPoolExecutor(command.threads) as pool:
        timings = [future.result() for future in [pool.submit(each) for each in work]]
    starts, ends, seconds = zip(*timings, strict=True)
    return {"seconds": [each for part in seconds for each in part], "wall": max(ends) - min(starts)}


Timing = tuple[float, float, list[float]]


def _caller(command: Command, number: int, barrier: threading.Barrier) -> Callable[[], Timing]:
    """Return the work of one thread: it has an array and a connection of its own."""
    connect = _module(command.client).connect
    array = models.array(command.task, command.size, number)
    expected = _expected(command.task, number)

    def call() -> Timing:
        predict = connect(command.address, command.task)
        for count in range(command.warm):
            _timed(predict, _marked(array, command.task, count), expected)
        barrier.wait()
        start, seconds = time.perf_counter(), []
        for count in range(command.calls):
            marked = _marked(array, command.task, command.warm + count)
            seconds.append(_timed(predict, marked, expected))
            if time.perf_counter() - start > _LONGEST:
                break
        return start, time.perf_counter(), seconds

    def safe() -> Timing:
        try:
            return call()
        except BaseException:
            barrier.abort()
            raise

    return safe


def _timed(
    predict: Callable[[np.ndarray], np.ndarray], array: np.ndarray, expected: np.ndarray | None
) -> float:
    start = time.perf_counter()
    reply = predict(array)
    seconds = time.perf_counter() - start
    _compare(reply, array, expected)
    return seconds


def _marked(array: np.ndarray, task: str, count: int) -> np.ndarray:
    """Make an echoed array differ from those of earlier calls, so that no old reply passes."""
    if task == "echo":
        array.flat[0] = count
    return array


def _compare(reply: np.ndarray, array: np.ndarray, expected: np.ndarray | None) -> None:
    """Raise an error if a reply is wrong: an echo must be equal bit for bit, others nearly."""
    if reply.dtype != np.float32:
        raise ValueError(f"a reply of {reply.dtype}")
    if expected is None:
        if reply.shape != array.shape or not np.array_equal(_bits(reply), _bits(array)):
            raise ValueError("the echo is not what was sent")
    elif reply.shape != expected.shape or not np.allclose(reply, expected, atol=_TOLERANCE):
        raise ValueError("the reply is not what the model computes")


def _bits(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).view(np.uint32)


@cache
def _expected(task: str, number: int) -> np.ndarray | None:
    """Return what the model makes of a thread's array; nothing for an echo."""
    if task == "echo":
        return None
    return models.predict(_model(task), task, models.array(task, 0, number))


@cache
def _model(task: str) -> Any:
    return models.make(task)


def _module(name: str) -> Any:
    return importlib.import_module(f"serving_benchmark.systems.{name}")


def memory(command: Command) -> dict[str, Any]:
    """Make one call, and return by how many bytes it raised the peak of resident memory."""
    predict = _module(command.client).connect(command.address, command.task)
    predict(models.array(command.task, 4))
    array = models.array(command.task, command.size)
    before = processes.residence(os.getpid())
    processes.forget_peak(os.getpid())
    reply = predict(array)
    peak = processes.peak(os.getpid())
    _compare(reply, array, None)
    return {"rise": peak - before, "reply": reply.nbytes}


def main() -> None:
    """Answer commands until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # output of a library must not be mistaken for an answer
    for line in sys.stdin:
        command = json.loads(line)
        work = {"turn": turn, "memory": memory}[command.pop("work")]
        try:
            answer = work(Command(**command))
        except Exception as error:  # noqa: BLE001 - the answer reports it, and others are measured
            traceback.print_exc()
            answer = {"failed": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
