"""One replica: an archive behind the application, in an actor of Ray."""

from __future__ import annotations

import asyncio
import atexit
import logging
import shutil
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

from eisen_deploy.serving.engines.asgi.messages import Message, Receive, Scope, Send
from eisen_deploy.serving.engines.asgi.serving import Served, serve_archive
from eisen_deploy.serving.engines.asgi.settings import Settings

from . import fetching

_TICK = 0.5

_log = logging.getLogger("eisen_deploy.serving")

# One process serves one archive.
_served: Served | None = None


def make_application() -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Return what Ray calls with each request; it asks for it before the replica is made."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_bytes(message: Message) -> None:
            if "body" in message:  # which Ray pickles
                message = {**message, "body": bytes(message["body"])}
            await send(message)

        assert _served is not None  # noqa: S101 - Ray sends no request before a replica is made
        await _served.application(scope, receive, send_bytes)

    return application


class Replica:
    """The archive of one deployment, in this process.

    :param source: where the archive comes from; ``digest`` is what it has to have.
    :raises LoadFailed: if it cannot be served here; Ray then keeps what was deployed before.
    """

    def __init__(self, source: str, digest: str, cache: Path, settings: Settings) -> None:
        global _served  # noqa: PLW0603 - see there
        folder = fetching.unpack(fetching.fetch(source, digest, cache))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        self._served = _served = serve_archive(
            folder, settings, gpu_id=_find_gpu(), on_main_thread=False
        )
        threading.Thread(target=self._served.batcher.run, name="model", daemon=True).start()
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    def check_health(self) -> None:
        """Fail if the model hangs: Ray then replaces this process.

        :raises RuntimeError: if it does.
        """
        if not self._served.batcher.is_open:
            raise RuntimeError("the model did not answer in time, and cannot be interrupted")

    async def _watch(self) -> None:
        batcher = self._served.batcher
        while not batcher.is_hung:
            batcher.expire()
            await asyncio.sleep(_TICK)
        _log.error("the model did not answer within %g s: this replica ends", batcher.timeout)
        batcher.give_up()


def _find_gpu() -> int | None:
    """Return the number of the GPU that Ray gives this actor; it sees no other one."""
    import ray  # noqa: PLC0415 - in a replica only

    return 0 if ray.get_gpu_ids() else None
