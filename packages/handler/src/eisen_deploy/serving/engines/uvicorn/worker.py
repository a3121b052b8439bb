"""One worker: the model on the main thread, uvicorn's event loop on a second one.

On the main thread Python code that takes too long can be interrupted by a signal, as on TorchServe.
Started by :mod:`.supervision` with its settings as JSON in one argument. What becomes of it is said
on the descriptor ``link``, a JSON object a line: ``{"ready": ...}``, ``{"refused": ...}``, and
``{"alive": ...}`` for as long as its event loop runs.
"""

from __future__ import annotations

import asyncio
import faulthandler
import importlib
import json
import logging
import os
import signal
import socket
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

import uvicorn

from eisen_deploy.serving.engines.asgi.application import Application, Model
from eisen_deploy.serving.engines.asgi.batcher import Batcher
from eisen_deploy.serving.engines.asgi.metrics import Counters
from eisen_deploy.serving.engines.asgi.settings import Settings

from .protocol import BoundedProtocol

_log = logging.getLogger("eisen_deploy.serving")

#: The exit status of a worker whose archive was refused, and of one whose model hangs.
REFUSED = 3
HUNG = 4

_TICK = 0.5
# What a graceful stop waits for the requests under way beyond their response timeout.
_GRACE = 5
# Seconds in which the answers of a worker that hangs have to be out.
_LAST_WORDS = 2.0


@dataclass(frozen=True)
class Work:
    """What one worker is told.

    :param folder: of the unpacked archive.
    :param link: the descriptor on which it says what becomes of it.
    :param listener: the descriptor of the socket that all workers listen on.
    :param gpu_id: number of its GPU.
    :param workers: processes that share the machine's cores.
    """

    folder: str
    link: int
    listener: int
    gpu_id: int | None
    workers: int
    max_body: int
    response_timeout: int
    queue: int
    token_file: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self))


class Link:
    """The way back to who has started this worker."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def say(self, **said: object) -> None:
        """Write one line; whoever is not there any more does not hear it."""
        try:
            os.write(self._descriptor, json.dumps(said).encode("ascii") + b"\n")
        except OSError:
            pass


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM, and return the exit status."""
    work = Work(**json.loads(arguments[0]))
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(message)s")
    os.dup2(2, 1)  # what user code prints goes to the log
    link = Link(work.link)
    listener = socket.socket(fileno=work.listener)
    worker = _Worker(work, link)
    try:
        worker.load()
    except Exception as error:  # noqa: BLE001 - whatever its code raises, it cannot be served
        _log.exception("the archive cannot be served")
        link.say(refused=str(error), kind=type(error).__name__)
        return REFUSED
    return worker.serve(listener)


class _Worker:
    def __init__(self, work: Work, link: Link) -> None:
        self._work, self._link = work, link
        self._status = 0

    def load(self) -> None:
        """Open the archive by the runtime that it brings."""
        work = self._work
        sys.path.insert(0, work.folder)
        counters = Counters()
        # Verified by what is installed before anything of the archive is imported.
        from eisen_deploy.serving.runtime.archive.verified import verify  # noqa: PLC0415

        about = verify(Path(work.folder))
        runtime = importlib.import_module("_eisen_serving.session")
        limits = importlib.import_module("_eisen_serving.answering.limits").Limits
        seconds_for = importlib.import_module("_eisen_serving.answering.budget").seconds_for

        def limits_of(options: object) -> object:
            timeout = getattr(options, "response_timeout", None) or work.response_timeout
            return limits(
                reply=work.max_body,
                reply_setting=f"the server's --max-body is {work.max_body}",
                seconds=seconds_for(timeout),
                seconds_setting=f"the response timeout is {timeout} s",
                request=work.max_body,
            )

        session = runtime.InferenceSession.open(
            Path(work.folder),
            gpu_id=work.gpu_id,
            workers=work.workers,
            limits=limits_of,
            counters=counters,
        )
        options = session.handler.archive.options
        self._timeout = options.response_timeout or work.response_timeout
        shared = session.batch_problem is None
        self._batcher = Batcher(
            session.answer,
            size=(options.batch_size or 1) if shared else 1,
            delay=(options.batch_delay or 0) / 1000,
            queue=work.queue,
            timeout=self._timeout,
        )
        model = Model(
            about.model.name, about.model.version, session.handler.metadata, runtime.Request
        )
        counters.describe(about.model.name, about.model.version)
        settings = Settings(
            max_body=work.max_body,
            token_file=None if work.token_file is None else Path(work.token_file),
        )
        self._application = Application(model, self._batcher, settings, counters.render)

    def serve(self, listener: socket.socket) -> int:
        """Answer until SIGTERM, or until the model hangs."""
        server = uvicorn.Server(self._configuration())
        loop = threading.Thread(target=self._run_loop, args=(server, listener), name="http")

        def end(_signal: int, _frame: FrameType | None) -> None:
            server.should_exit = True

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        loop.start()
        self._batcher.run()
        loop.join()
        return self._status

    def _configuration(self) -> uvicorn.Config:
        return uvicorn.Config(
            self._application,
            http=BoundedProtocol,
            loop="auto",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=self._timeout + _GRACE,
            ssl_certfile=self._work.tls_cert,
            ssl_keyfile=self._work.tls_key,
        )

    def _run_loop(self, server: uvicorn.Server, listener: socket.socket) -> None:
        async def serve() -> None:
            watching = asyncio.ensure_future(self._watch(server))
            await server.serve(sockets=[listener])
            watching.cancel()

        try:
            uvicorn_run(serve, server)
        finally:
            self._batcher.close()

    async def _watch(self, server: uvicorn.Server) -> None:
        """Say that this lives, and see to it that nothing waits for ever."""
        said = False
        while True:
            if server.started and not said:
                self._link.say(ready=True, pid=os.getpid())
                said = True
            self._link.say(alive=True)
            self._batcher.expire()
            if self._batcher.is_hung:
                await self._end_hung()
            await asyncio.sleep(_TICK)

    async def _end_hung(self) -> None:
        """Answer what waits, and end: a thread that hangs can only be ended with its process."""
        _log.error("the model did not answer within %s s: this process ends", self._timeout)
        faulthandler.dump_traceback()
        self._batcher.give_up()
        self._link.say(hung=True)
        await asyncio.sleep(_LAST_WORDS)
        os._exit(HUNG)


def uvicorn_run(serve: object, server: uvicorn.Server) -> None:
    """Run on the event loop that uvicorn picks: uvloop where it is installed."""
    factory = server.config.get_loop_factory()
    loop = factory() if factory is not None else asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(serve())  # type: ignore[operator]
    finally:
        loop.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
