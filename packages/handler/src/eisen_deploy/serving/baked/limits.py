"""What the server allows a worker: how large a request and a reply, and how long a batch.

TorchServe kills a worker that goes over one of the last two, and every request of its batch is
answered 500, *Worker died*. So each is checked here first, and answered with an error that tells
what to change.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import budget
from ._shared.serving_options import ServingOptions
from .errors import NotExecuted, ReplyTooLarge, TimedOut
from .messages import Reply
from .server_config import STOCK_TIMEOUT, ServerConfig

#: TorchServe's frames hold sizes as four bytes with a sign.
MAX_REPLY = 2**31 - 1


@dataclass(frozen=True)
class Limits:
    """What the server allows; ``None`` for no limit that is known.

    :param reply: bytes of a reply's body as it is sent, after compression.
    :param reply_source: where that is set.
    :param timeout: the server's response timeout in seconds.
    :param request: bytes of a request's body; the server knows nothing of its compression.
    """

    reply: int | None = None
    reply_source: str = ""
    timeout: float | None = None
    request: int | None = None

    def __str__(self) -> str:
        size = "no limit" if self.reply is None else f"{self.reply} bytes"
        time = "no limit" if self.seconds is None else f"{self.seconds:g} s"
        return f"{size} for a reply, {time} for a batch"

    @property
    def seconds(self) -> float | None:
        """Seconds in which a batch must be answered."""
        return None if self.timeout is None else budget.seconds_for(self.timeout)

    def check(self, reply: Reply) -> None:
        """Refuse a reply that the server would not take.

        :raises ReplyTooLarge: with both sizes, and the setting to change.
        """
        if self.reply is not None and reply.size > self.reply:
            raise ReplyTooLarge(
                f"the reply has {reply.size} bytes, and the server's max_response_size is "
                f"{self.reply} ({self.reply_source}): raise it, or ask for fewer outputs"
            )

    def time_over(self, stage: str, *, begun: bool) -> TimedOut:
        """Return the error of a request for which the time was over at a stage.

        :param begun: whether a transform or the model has run on it, or begun to.
        """
        allowed = f"{self.seconds or 0:g} s, since responseTimeout is {self.timeout or 0:g} s"
        if begun:
            return TimedOut(f"{stage} was not done within the time for a batch: {allowed}")
        return NotExecuted(
            f"others of its batch took all the time: {allowed}; nothing was executed, the request "
            "can be sent again"
        )


def limits_of(
    server: ServerConfig, name: str, version: str, options: ServingOptions, *, has_file: bool
) -> Limits:
    """Return what a TorchServe allows the worker of a model.

    :param has_file: whether the archive has a ``model-config.yaml``: then the server's default
        timeout does not hold for it, and 120 s do where the file names none. Source: TorchServe
        0.12, ``ModelConfig`` and ``ModelManager.createModel``.
    """
    size = server.max_response_size
    timeout = options.response_timeout
    if timeout is None and server.default_response_timeout is not None:
        of_server = server.of_model(name, version, "responseTimeout")
        timeout = STOCK_TIMEOUT if has_file else of_server or server.default_response_timeout
    reply = MAX_REPLY if size is None else min(size, MAX_REPLY)
    return Limits(reply, server.source, timeout, server.max_request_size)
