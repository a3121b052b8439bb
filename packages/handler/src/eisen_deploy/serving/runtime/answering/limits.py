"""How large a request and a reply may be, and how long a batch may take.

What goes over one of the last two is answered with an error that names the server's setting.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import NotExecuted, ReplyTooLarge, TimedOut
from ..messages import Reply


@dataclass(frozen=True)
class Limits:
    """What the server allows; ``None`` for no limit that is known.

    :param reply: bytes of a reply's body as it is sent, after compression.
    :param reply_setting: what sets that, as a clause.
    :param seconds: in which a batch must be answered.
    :param seconds_setting: likewise.
    :param request: bytes of a request's body; the server knows nothing of its compression.
    """

    reply: int | None = None
    reply_setting: str = ""
    seconds: float | None = None
    seconds_setting: str = ""
    request: int | None = None

    def __str__(self) -> str:
        size = "no limit" if self.reply is None else f"{self.reply} bytes"
        time = "no limit" if self.seconds is None else f"{self.seconds:g} s"
        return f"{size} for a reply, {time} for a batch"

    def check(self, reply: Reply) -> None:
        """Refuse a reply that the server would not take.

        :raises ReplyTooLarge: with both sizes, and the setting to change.
        """
        if self.reply is not None and reply.size > self.reply:
            raise ReplyTooLarge(
                f"the reply has {reply.size} bytes, and {self.reply_setting}: raise it, or ask for "
                "fewer outputs"
            )

    def make_time_error(self, stage: str, *, begun: bool) -> TimedOut:
        """Return the error of a request for which the time was over at a stage.

        :param begun: whether a transform or the model has run on it, or begun to.
        """
        allowed = f"{self.seconds or 0:g} s, since {self.seconds_setting}"
        if begun:
            return TimedOut(f"{stage} was not done within the time for a batch: {allowed}")
        return NotExecuted(
            f"others of its batch took all the time: {allowed}; nothing was executed, the request "
            "can be sent again"
        )
