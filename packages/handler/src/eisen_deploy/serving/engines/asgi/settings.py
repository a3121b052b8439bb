"""What one application is told: limits, tokens, what its model is called."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from eisen_deploy.serving.engines.sizes import parse_size

if TYPE_CHECKING:
    from eisen_deploy.serving.runtime._shared.model.serving_options import ServingOptions

T = TypeVar("T")
MIB = 2**20
#: The variable with the folder in which the processes of one server keep their counters.
COUNTERS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
#: The variable with the size of the largest body that a process takes, such as ``512MiB``.
MAX_BODY = "EISEN_MAX_BODY"


@dataclass(frozen=True)
class Settings:
    """The settings of an application.

    :param max_body: bytes of the largest request and of the largest reply.
    :param max_body_setting: what sets that.
    :param all_bodies: bytes of all requests under way together; more are answered with 503.
    :param response_timeout: seconds for an answer, where the archive does not say it.
    :param queue: requests that may wait for the model; one more is answered with 503.
    :param token_file: a file with the token that clients have to send; ``None`` for no token.
    :param idle: seconds without a byte of a body after which its sender is given up.
    :param piece: bytes of a reply that are handed over at once: the next follow when the client has
        taken them.
    :param slowest: bytes of a body that have to arrive a second, on average, after that time.
    :param libraries: distributions of which the server's metadata give the versions.
    """

    max_body: int = 512 * MIB
    max_body_setting: str = "--max-body"
    all_bodies: int = 4096 * MIB
    response_timeout: float = 120.0
    queue: int = 100
    token_file: Path | None = None
    idle: float = 60.0
    piece: int = MIB
    slowest: float = 4096.0
    libraries: tuple[str, ...] = ("torch",)

    def find_response_timeout(self, serving: ServingOptions) -> float:
        """Return the seconds for an answer: those of the archive, or else the server's."""
        return serving.response_timeout or self.response_timeout


def read_variable(name: str, parse: Callable[[str], T]) -> T | None:
    """Return the value of an environment variable, if it is set.

    :raises ValueError: if it cannot be parsed; the message names it.
    """
    text = os.environ.get(name)
    if not text:
        return None
    try:
        return parse(text)
    except ValueError as error:
        why = str(error) if parse is parse_size else f"expected a number, got {text!r}"
        raise ValueError(f"{name}: {why}") from None
