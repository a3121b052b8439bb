# Without "from __future__ import annotations": Ray looks at the types as they are.
"""What a configuration of Ray Serve says of archives."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from eisen_deploy.serving.engines.asgi.settings import MIB


class ArchiveArguments(BaseModel):
    """One archive, and how many replicas of it there are.

    :param source: a path that every node has, or an address: ``https://``, ``s3://``, ``gs://``.
    :param digest: SHA-256 that ``eisen-pack inspect`` prints; ``None`` takes what lies there when
        the application is deployed, and nothing else on any node after that.
    :param replicas: a number, or ``"auto"`` for one to ``max_replicas`` by load; by default the
        archive's own ``workers``, or 1.
    """

    model_config = ConfigDict(extra="forbid")

    source: str
    digest: str | None = None
    replicas: int | Literal["auto"] | None = None
    max_replicas: int = Field(default=4, ge=1)
    num_cpus: float = Field(default=1.0, ge=0)
    num_gpus: float | None = Field(default=None, ge=0)


class Arguments(BaseModel):
    """Everything that the builder takes.

    :param archives: each a source, or a source with more.
    :param max_body: bytes of the largest request and of the largest reply.
    :param response_timeout: seconds for an answer, where the archive does not say it.
    :param queue: requests that may wait for one replica.
    :param token_file: a file, on every node, with the token that clients have to send.
    :param cache: where each node keeps the archives that it has fetched.
    """

    model_config = ConfigDict(extra="forbid")

    archives: list[str | ArchiveArguments] = Field(min_length=1)
    max_body: int = Field(default=512 * MIB, ge=1)
    response_timeout: float = Field(default=300.0, gt=0)
    queue: int = Field(default=100, ge=1)
    token_file: Path | None = None
    cache: Path = Path("~/.cache/eisen-deploy/archives")

    @property
    def described(self) -> list[ArchiveArguments]:
        """The archives, each with all that can be said of it."""
        return [
            ArchiveArguments(source=each) if isinstance(each, str) else each
            for each in self.archives
        ]
