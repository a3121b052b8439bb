"""Objects that live in one process: locks come back free, others are refused with a way out."""

from __future__ import annotations

import asyncio
import asyncio.mixins
import copyreg
import io
import logging
import pickle
import queue
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from . import Reduced

_LOCK = type(threading.Lock())
_RLOCK = type(threading.RLock())
_PY_RLOCK = threading._RLock  # noqa: SLF001

# What an object is when nobody holds it and nobody waits for it.
_AT_REST: list[tuple[type, Callable[[Any], dict[str, object]]]] = [
    (threading.Condition, lambda _: {"_waiters": deque()}),
    (threading.BoundedSemaphore, lambda each: {"_value": each._initial_value}),  # noqa: SLF001
    (threading.Barrier, lambda _: {"_state": 0, "_count": 0}),
    (asyncio.Lock, lambda _: {"_loop": None, "_waiters": None, "_locked": False}),
    (asyncio.BoundedSemaphore, lambda each: {"_value": each._bound_value}),  # noqa: SLF001
    (asyncio.Semaphore, lambda _: {"_loop": None, "_waiters": None}),
    (asyncio.Event, lambda _: {"_loop": None, "_waiters": deque()}),
    (asyncio.Condition, lambda _: {"_loop": None, "_waiters": deque()}),
    (asyncio.Queue, lambda _: {"_loop": None, "_getters": deque(), "_putters": deque()}),
]

#: What helps against an object that stays here.
REMEDY = "make it where it is used, when that first runs"
_REFUSED: list[tuple[type | tuple[type, ...], str]] = [
    (threading.Thread, f"a thread runs in this process only: {REMEDY}"),
    ((Future, asyncio.Future), "its result is awaited in this process: keep the result itself"),
    (ProcessPoolExecutor, f"its processes are this program's: {REMEDY}"),
    (asyncio.AbstractEventLoop, f"an event loop runs in this process: {REMEDY}"),
    (
        logging.Handler,
        (
            "a handler of logging writes on this machine: keep logging.getLogger(__name__), "
            "and leave handlers to the server"
        ),
    ),
]
_PROCESS_MODULES = ("multiprocessing", "_multiprocessing", "torch.multiprocessing")
# Classes of these travel, such as that of what get_context("spawn") returns.
_PLAIN_MODULES = ("multiprocessing.context", "builtins")


def reduce_live_object(obj: Any) -> Reduced | None:
    """Return what ``pickle`` needs to make an object anew that is free, if it is of these.

    :raises pickle.PicklingError: if it stays in this process.
    """
    if isinstance(obj, io.IOBase) and obj in (sys.stdout, sys.stderr):
        return getattr, (sys, "stdout" if obj is sys.stdout else "stderr")
    _refuse_if_bound_here(obj)
    kind = type(obj)
    if kind is _LOCK:
        return threading.Lock, ()
    if kind in (_RLOCK, _PY_RLOCK):
        return threading.RLock, ()
    if kind is queue.SimpleQueue and obj.empty():
        return queue.SimpleQueue, ()
    if kind is ThreadPoolExecutor and getattr(obj, "_initializer", None) is None:
        return ThreadPoolExecutor, (obj._max_workers,)  # noqa: SLF001
    if kind in (weakref.WeakValueDictionary, weakref.WeakKeyDictionary):
        return kind, (dict(obj.items()),)
    if isinstance(obj, threading.local):
        return copyreg.__newobj__, (kind,), vars(obj)  # type: ignore[attr-defined]
    return _reduce_at_rest(obj, kind)


def _reduce_at_rest(obj: object, kind: type) -> Reduced | None:
    changes = [change(obj) for each, change in _AT_REST if isinstance(obj, each)]
    if not changes:
        return None
    state = dict(vars(obj))
    for change in reversed(changes):
        state |= {name: value for name, value in change.items() if name in state}
    return copyreg.__newobj__, (kind,), state  # type: ignore[attr-defined]


def _refuse_if_bound_here(obj: object) -> None:
    kind = type(obj)
    what = f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(obj, io.IOBase) and not isinstance(obj, (io.BytesIO, io.StringIO)):
        name = getattr(obj, "name", "")
        raise pickle.PicklingError(
            f"an open file ({name}) stays on this machine: read it here and keep its content, or "
            "open it where it is used and pass it in additional_files="
        )
    for kinds, why in _REFUSED:
        if isinstance(obj, kinds):
            raise pickle.PicklingError(f"cannot pickle {kind.__name__!r} object: {why} ({what})")
    if _is_shared_with_processes(kind):
        raise pickle.PicklingError(
            f"{what} is shared with processes that this program starts, and stays here: "
            f"{REMEDY}, or use what threading or concurrent.futures has for threads"
        )


def _is_shared_with_processes(kind: type) -> bool:
    modules = {base.__module__ for base in kind.__mro__}
    return any(
        module.startswith(_PROCESS_MODULES) and module not in _PLAIN_MODULES for module in modules
    )
