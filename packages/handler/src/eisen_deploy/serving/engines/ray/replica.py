"""One replica: an archive in a process of its own, behind the application that all engines have."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from eisen_deploy.serving.engines import model_thread
from eisen_deploy.serving.engines.asgi.application import Application
from eisen_deploy.serving.engines.asgi.replies import Message, Receive
from eisen_deploy.serving.engines.asgi.serving import Served, serve_archive
from eisen_deploy.serving.engines.asgi.settings import Settings
from eisen_deploy.serving.engines.machine import share_for_bodies
from eisen_deploy.serving.engines.served_archives import BadArchives
from eisen_deploy.serving.runtime._shared.archive import zips
from eisen_deploy.serving.runtime._shared.errors import ContractError
from eisen_deploy.serving.runtime.archive.verification import DIGESTS
from eisen_deploy.serving.runtime.errors import LoadFailed

from .counters import RayCounters
from .fetching import Cache, Source


@dataclass(frozen=True)
class Work:
    """What a replica is told.

    :param source: with the digest of what was read when the deployment was built.
    :param cache: the folder for archives on its node; ``None`` for the default.
    :param replicas: that there may be, perhaps all of them on its node.
    :param has_gpu: whether Ray assigns a GPU to it.
    """

    source: Source
    settings: Settings
    cache: str | None = None
    replicas: int = 1
    has_gpu: bool = False


class Exchanged(NamedTuple):
    """A reply on its way to the router."""

    status: int
    headers: dict[str, str]
    buffers: tuple[np.ndarray, ...]


class Unhealthy(Exception):
    """The model does not answer any more: Ray replaces this replica."""


class Replica:
    """A model that answers; Ray makes one in each process.

    :raises LoadFailed: if its archive cannot be served here.
    """

    def __init__(self, work: Work) -> None:
        settings = prepare_settings(work.settings, work.replicas)
        self._served = model_thread.start(lambda: _load(work, settings))

    def __serve_build_asgi_app__(self) -> Application:
        """Return what answers HTTP."""
        return self._served.application

    async def exchange(self, headers: dict[str, str], body: np.ndarray) -> Exchanged:
        """Answer a request that the router has admitted.

        :param headers: by lower-case name.
        :param body: its bytes, in Ray's shared memory.
        """
        announced = {**headers, "content-length": str(body.size)}
        announced.pop("transfer-encoding", None)
        reply = await self._served.application.exchange(announced, _receive_once(body))
        # As arrays they are copied only once on their way into Ray's shared memory.
        buffers = tuple(np.frombuffer(buffer, np.uint8) for buffer in reply.buffers)
        return Exchanged(reply.status, dict(reply.headers), buffers)

    def check_health(self) -> None:
        """Check that the model answers; Ray calls this now and then.

        :raises Unhealthy: if it does not.
        """
        batcher = self._served.batcher
        if batcher.is_hung or not batcher.is_open:
            raise Unhealthy("the model does not answer any more")

    def __del__(self) -> None:
        """Take no more requests; Ray calls this when those that it sent are answered."""
        if hasattr(self, "_served"):
            self._served.batcher.close()


def _receive_once(body: np.ndarray) -> Receive:
    """Return what a server receives by, for a body that is there already."""
    messages: list[Message] = [{"type": "http.request", "body": body.data}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        return await asyncio.Future()  # whoever goes away has this cancelled

    return receive


def _load(work: Work, settings: Settings) -> Served:
    """Fetch, verify and unpack an archive, and load it."""
    ours = logging.getLogger("eisen_deploy.serving")
    ours.parent = logging.getLogger("ray.serve")  # which writes the log of this replica
    ours.setLevel(logging.INFO)
    os.environ[DIGESTS] = str(work.source.digest)
    cache = Cache(None if work.cache is None else Path(work.cache))
    try:
        copy = cache.fetch(work.source).copy
        folder = cache.make_folder()
        assert copy is not None  # noqa: S101 - it lies in the cache
        zips.unpack(copy, folder)
    except (BadArchives, ContractError) as error:
        raise LoadFailed(str(error)) from None
    except OSError as error:
        raise LoadFailed(f"{work.source}: cannot be unpacked: {error.strerror}") from None
    return serve_archive(
        folder,
        settings,
        gpu_id=0 if work.has_gpu else None,  # Ray shows a process only its own
        on_main_thread=False,
        make_counters=RayCounters,
    )


def prepare_settings(settings: Settings, replicas: int) -> Settings:
    """Return settings as they hold on this node.

    :raises LoadFailed: if there is no token: nobody could be answered.
    """
    if settings.token_file is not None:
        try:
            empty = not settings.token_file.read_bytes().strip()
        except OSError as error:
            raise LoadFailed(
                f"token_file {settings.token_file}: {error.strerror} on this node"
            ) from None
        if empty:
            raise LoadFailed(f"token_file {settings.token_file}: it is empty")
    return replace(settings, all_bodies=share_for_bodies(replicas))
