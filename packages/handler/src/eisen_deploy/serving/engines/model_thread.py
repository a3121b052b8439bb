"""The thread of a process on which its model is loaded and runs; no request waits for ever."""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from .asgi.serving import Served

_log = logging.getLogger("eisen_deploy.serving")

#: The exit status of a process whose model's thread ended, and whose model hangs.
FAILED = 1
HUNG = 4

_TICK = 0.5
# Seconds in which the answers of a process that ends have to be out.
_LAST_WORDS = 2.0


def start(load: Callable[[], Served]) -> Served:
    """Load a model on a new thread, and let it answer there until its batcher is closed.

    :raises Exception: what ``load`` raises.
    """
    loaded: Future[Served] = Future()
    threading.Thread(target=_live, args=(load, loaded), name="model", daemon=True).start()
    served = loaded.result()
    threading.Thread(target=_watch, args=(served,), name="watch", daemon=True).start()
    return served


def _live(load: Callable[[], Served], loaded: Future[Served]) -> None:
    try:
        served = load()
    except BaseException as error:  # noqa: BLE001 - whatever its code raises, it cannot be served
        loaded.set_exception(error)
        return
    loaded.set_result(served)
    try:
        served.batcher.run()
    except BaseException:  # noqa: BLE001 - what no request may raise: this process ends
        _log.exception("the model's thread ended")
        _end(FAILED)


def _watch(served: Served) -> None:
    """See to it that no request waits for ever."""
    batcher = served.batcher
    while batcher.is_open:
        time.sleep(_TICK)
        batcher.expire()
        if batcher.is_hung:
            # A thread that hangs can only be ended with its process.
            _log.error("the model did not answer within %g s: this process ends", batcher.timeout)
            faulthandler.dump_traceback(sys.__stderr__ or 2)
            batcher.give_up()
            _end(HUNG)


def _end(status: int) -> None:
    time.sleep(_LAST_WORDS)
    os._exit(status)
