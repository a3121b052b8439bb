"""What a worker is told by who starts it; importing this needs neither torch nor uvicorn."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from eisen_deploy.serving.engines.asgi.settings import Settings

#: The file in the server's folder with everything that its workers print.
WORKERS_LOG = "workers.log"
#: What the server's metadata give the versions of.
LIBRARIES = ("uvicorn", "httptools", "uvloop", "torch")


@dataclass(frozen=True)
class Work:
    """What one worker is told.

    :param workers: processes that share the machine's cores.
    :param all_bodies: bytes of all requests under way together.
    :param folder: of the unpacked archive.
    :param link: the descriptor on which it says what becomes of it.
    :param listener: the descriptor of the socket that all workers listen on.
    :param index: its number, from 0; a worker that replaces another one has its number.
    :param gpu_id: number of its GPU.
    """

    workers: int
    max_body: int
    all_bodies: int
    response_timeout: int
    queue: int
    folder: str = ""
    link: int = -1
    listener: int = -1
    index: int = 0
    gpu_id: int | None = None
    token_file: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None

    @property
    def settings(self) -> Settings:
        """The settings of its application."""
        token_file = None if self.token_file is None else Path(self.token_file)
        return Settings(
            max_body=self.max_body,
            all_bodies=self.all_bodies,
            response_timeout=self.response_timeout,
            queue=self.queue,
            token_file=token_file,
            libraries=LIBRARIES,
        )

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self))
