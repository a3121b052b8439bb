"""One request on its way, and what becomes of an error that it meets."""

from __future__ import annotations

import logging
import traceback

from .._shared.wire.protocol import JSON_TYPE
from ..errors import ModelFailed, OutOfMemory, ServingError, TransformFailed
from ..messages import Batch, Reply, Request
from . import error_texts
from .bodies.decode import Call

_log = logging.getLogger("eisen_deploy.serving")


class Job:
    """One request on its way: what the last stage gave, the time of each, the reply.

    :param max_body: bytes that the server takes in a body, if that is known.
    :param show_errors: whether the texts of errors of user code are replied and logged.
    :ivar begun: whether user code or the model has seen it.
    :ivar inferred: whether it had its share of a common pass.
    """

    def __init__(
        self, request: Request, max_body: int | None = None, *, show_errors: bool = False
    ) -> None:
        self.request = request
        self.max_body = max_body
        self.show_errors = show_errors
        self.call = Call()
        self.data: Batch = {}
        self.reply: Reply | None = None
        self.seconds: dict[str, float] = {}
        self.outcome = "ok"
        self.begun = False
        self.inferred = False

    @property
    def finished(self) -> Reply:
        """The reply, which the last stage has made."""
        if self.reply is None:
            raise ModelFailed("no stage gave an answer")
        return self.reply

    def fail(self, stage: str, error: BaseException) -> None:
        """Make an error that a stage raised the reply."""
        if isinstance(error, ServingError):
            _log.info("%s: %d %s", stage, error.status, type(error).__name__)
        else:
            error = self._make_error(stage, error)
        self.outcome = type(error).__name__
        self.reply = Reply((error.body(),), error.status, {"Content-Type": JSON_TYPE})

    def _make_error(self, stage: str, error: BaseException) -> ServingError:
        """Return the error to reply with for what user code raised.

        It has the text of that only if texts are shown: it may hold data.
        """
        kind = type(error).__name__
        if self.show_errors:
            text = error_texts.describe(stage, error, self.data)
            _log.error("%s\n%s", text, "".join(traceback.format_exception(error)))
        else:
            where = "".join(traceback.format_tb(error.__traceback__))
            _log.error(
                "%s raised %s (its text is withheld, it may hold data)\n%s", stage, kind, where
            )
            text = f"{stage} raised {kind}; the log shows where"
        if _is_out_of_memory(error):
            return OutOfMemory(text if self.show_errors else f"{stage} ran out of memory")
        failed = ModelFailed if stage == "inference" else TransformFailed
        return failed(text)


def _is_out_of_memory(error: BaseException) -> bool:
    import torch  # noqa: PLC0415 - not before a request failed

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    # torch's allocator on the CPU has no class of its own.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
