"""The workers of uvicorn: from which files, with which settings and on which GPU each is started.

All workers listen on the same socket, which stays open here: a connection that comes while one of
them is replaced waits for it, or is taken by another one.
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from eisen_deploy.serving.engines.engine import NotReady, Setup
from eisen_deploy.serving.engines.processes.supervision import Supervision, Worker
from eisen_deploy.serving.engines.served_archives import (
    BadArchives,
    ServedArchive,
    check_copies,
)
from eisen_deploy.serving.runtime._shared.archive import zips
from eisen_deploy.serving.runtime._shared.errors import ContractError

from .work import WORKERS_LOG, Work


class UvicornWorkers(Supervision):
    """One archive on uvicorn.

    :param listener: the socket on which all workers listen.
    :param work: what each worker is told; its folder, link and GPU are filled in here.
    :param variables: further environment variables of the workers.
    """

    kind = "worker"
    log_name = WORKERS_LOG

    def __init__(
        self,
        archive: ServedArchive,
        listener: socket.socket,
        work: Work,
        setup: Setup,
        *,
        variables: Mapping[str, str],
    ) -> None:
        super().__init__(
            setup,
            archive.url_part,
            "sample predicted" if archive.sample else "model loaded (it has no sample)",
            count=work.workers,
            grace=work.settings.find_response_timeout(archive.serving) + 10.0,
            patience=setup.patience.for_archive(archive.serving),
            variables=variables,
        )
        self._archive, self._listener, self._work = archive, listener, work
        self._unpacked: Path | None = None

    def _prepare(self) -> None:
        """Unpack the private copy into a new folder: running workers may import from the old one.

        :raises NotReady: if it is not what was verified.
        """
        assert self._archive.copy is not None  # noqa: S101 - made by who serves
        folder = Path(tempfile.mkdtemp(prefix="unpacked-", dir=self._setup.private))
        try:
            if self._unpacked is not None:  # else it has just been verified
                check_copies([self._archive])
            zips.unpack(self._archive.copy, folder)
        except BadArchives as error:
            raise NotReady(error.problems) from None
        except ContractError as error:
            raise NotReady([str(error)]) from None
        except OSError as error:
            raise NotReady([f"cannot be unpacked to {folder}: {error.strerror}"]) from None
        self._unpacked = folder

    def _make_command(self, worker: Worker, link: int) -> tuple[Sequence[str], Sequence[int]]:
        """Return the command of one worker: each has a GPU, in turn."""
        gpu_id = worker.index % self._setup.gpus if self._setup.gpus else None
        work = replace(
            self._work,
            folder=str(self._unpacked),
            link=link,
            listener=self._listener.fileno(),
            index=worker.index,
            gpu_id=gpu_id,
        )
        command = [self._setup.python, "-m", f"{__package__}.worker", work.to_json()]
        return command, [self._listener.fileno()]
