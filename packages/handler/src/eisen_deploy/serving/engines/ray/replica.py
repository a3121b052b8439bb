"""One replica: an archive in a process of its own, behind the application that all engines have."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from eisen_deploy.serving.engines.asgi.application import Application
from eisen_deploy.serving.engines.asgi.serving import Served, serve_archive
from eisen_deploy.serving.engines.asgi.settings import Settings
from eisen_deploy.serving.engines.served_archives import BadArchives
from eisen_deploy.serving.runtime._shared.archive import zips
from eisen_deploy.serving.runtime._shared.errors import ContractError
from eisen_deploy.serving.runtime.archive.verification import DIGESTS
from eisen_deploy.serving.runtime.errors import LoadFailed

from . import model_thread
from .fetching import Cache, Source


@dataclass(frozen=True)
class Work:
    """What a replica is told.

    :param source: with the digest of what was read when the deployment was built.
    :param cache: the folder for archives on its node; ``None`` for the default.
    :param has_gpu: whether Ray assigns a GPU to it.
    """

    source: Source
    settings: Settings
    cache: str | None = None
    has_gpu: bool = False


class Unhealthy(Exception):
    """The model does not answer any more: Ray replaces this replica."""


class Replica:
    """A model that answers; Ray makes one in each process.

    :raises LoadFailed: if its archive cannot be served here.
    """

    def __init__(self, work: Work) -> None:
        _check_token_file(work.settings.token_file)
        self._served = model_thread.start(lambda: _load(work))

    def __serve_build_asgi_app__(self) -> Application:  # noqa: PLW3201 - Ray's name for it
        """Return what answers HTTP."""
        return self._served.application

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


def _load(work: Work) -> Served:
    """Fetch, verify and unpack an archive, and load it."""
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
        work.settings,
        gpu_id=0 if work.has_gpu else None,  # Ray shows a process only its own
        on_main_thread=False,
    )


def _check_token_file(path: Path | None) -> None:
    """Check that there is a token: without one nobody could be answered.

    :raises LoadFailed: if there is none.
    """
    if path is None:
        return
    try:
        empty = not path.read_bytes().strip()
    except OSError as error:
        raise LoadFailed(f"token_file {path}: {error.strerror} on this node") from None
    if empty:
        raise LoadFailed(f"token_file {path}: it is empty")
