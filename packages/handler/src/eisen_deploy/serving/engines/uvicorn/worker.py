"""One worker: the model on the main thread, uvicorn's event loop on a second one.

On the main thread Python code that takes too long can be interrupted by a signal, as on TorchServe.
Started by :mod:`.launching` with its settings as JSON in one argument. What becomes of it is said
on the descriptor ``link``, a JSON object a line: ``{"ready": ...}``, ``{"refused": ...}``, and
``{"alive": ...}`` for as long as its event loop runs.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import uvicorn

from eisen_deploy.serving.engines.asgi.batcher import Batcher
from eisen_deploy.serving.engines.asgi.metrics import share_counters
from eisen_deploy.serving.engines.asgi.serving import Served, serve_archive
from eisen_deploy.serving.engines.processes.link import Link

from .protocol import BoundedProtocol
from .sharing import SharingServer
from .work import Work

_log = logging.getLogger("eisen_deploy.serving")

#: The exit status of a worker whose model's thread ended, whose archive was refused, and whose
#: model hangs.
FAILED = 1
REFUSED = 3
HUNG = 4

_TICK = 0.5
# Longer than a load balancer keeps a connection, so that it is not closed under a request.
_KEEP_ALIVE = 75
# What a graceful stop waits for the requests under way beyond their response timeout.
_GRACE = 5
# Seconds in which the answers of a worker that hangs or fails have to be out.
_LAST_WORDS = 2.0


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM, and return the exit status.

    :param arguments: a :class:`Work` as JSON.
    """
    work = Work(**json.loads(arguments[0]))
    link = Link(work.link)
    os.dup2(2, 1)  # what user code prints goes to the log
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(message)s")
    try:
        share_counters(work.index)
        served = serve_archive(
            Path(work.folder), work.settings, gpu_id=work.gpu_id, workers=work.workers
        )
    except Exception as error:  # noqa: BLE001 - whatever its code raises, it cannot be served
        _log.exception("the archive cannot be served")
        link.say(refused=str(error))
        return REFUSED
    _answer(served, work, link)
    return 0


def _answer(served: Served, work: Work, link: Link) -> None:
    """Answer until SIGTERM: the model here, on the main thread, the event loop on another one."""
    # On Windows an event loop has another way to accept.
    shares = work.workers > 1 and sys.platform != "win32"
    server = (SharingServer if shares else uvicorn.Server)(_configure(served, work))

    def end(_signal: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    arguments = (server, socket.socket(fileno=work.listener), served.batcher, link)
    loop = threading.Thread(target=_run_loop, args=arguments, name="http")
    loop.start()
    try:
        served.batcher.run()
    except BaseException:  # noqa: BLE001 - what no request may raise: this process ends
        _log.exception("the model's thread ended")
        time.sleep(_LAST_WORDS)
        os._exit(FAILED)
    loop.join()


def _configure(served: Served, work: Work) -> uvicorn.Config:
    return uvicorn.Config(
        served.application,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # who asks makes no difference
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=int(served.batcher.timeout) + _GRACE,
        ssl_certfile=work.tls_cert,
        ssl_keyfile=work.tls_key,
    )


def _run_loop(
    server: uvicorn.Server, listener: socket.socket, batcher: Batcher, link: Link
) -> None:
    async def serve() -> None:
        watching = asyncio.ensure_future(_watch(server, batcher, link))
        await server.serve(sockets=[listener])
        watching.cancel()

    make_loop = server.config.get_loop_factory() or asyncio.new_event_loop
    loop = make_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(serve())
    finally:
        batcher.close()
        loop.close()


async def _watch(server: uvicorn.Server, batcher: Batcher, link: Link) -> None:
    """Say that this lives, and see to it that no request waits for ever."""
    while not server.started:
        await asyncio.sleep(_TICK / 10)
    link.say(ready=os.getpid())
    while not batcher.is_hung:
        if not link.say(alive=True, answered=batcher.has_answered):  # killed, and its guardian too
            server.should_exit = True
        batcher.expire()
        await asyncio.sleep(_TICK)
    # A thread that hangs can only be ended with its process.
    _log.error("the model did not answer within %g s: this process ends", batcher.timeout)
    faulthandler.dump_traceback()
    batcher.give_up()
    link.say(hung=True)
    await asyncio.sleep(_LAST_WORDS)
    os._exit(HUNG)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
