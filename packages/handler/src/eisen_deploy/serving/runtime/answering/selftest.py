"""The sample of an archive, replayed: a recorded request must still get the recorded reply.

Packaging records both with :func:`predict`, and a server replays the request once it has loaded the
archive. That warms the model up, and finds what no digest can: another library, another device,
code that relied on the machine where it was packed.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from time import perf_counter

import numpy as np

from .._shared.archive.description import RecordedBody, RecordedSample
from .._shared.errors import ContractError
from .._shared.wire import protocol
from ..errors import Difference, SelfTestFailed
from ..handler import EisenServingHandler, pick_stages
from ..messages import Reply, Request
from . import error_texts
from .comparison import compare, format_table
from .jobs import Job

_log = logging.getLogger("eisen_deploy.serving")


class StageFailed(Exception):
    """A stage raised; the cause says what.

    :param stage: its name, ``decode`` to ``encode``, or ``handle`` where that is overridden.
    :param data: what the stage was given.
    """

    def __init__(self, stage: str, error: BaseException, data: object = None) -> None:
        self.stage = stage
        super().__init__(error_texts.describe(stage, error, data))


def check(handler: EisenServingHandler, folder: Path, sample: RecordedSample) -> None:
    """Replay a sample, and refuse the archive if it no longer agrees.

    :param folder: of the unpacked and verified archive.
    :raises SelfTestFailed: with each difference, or with the error as its cause.
    """
    try:
        differences = replay(handler, folder, sample)
    except StageFailed as error:
        raise SelfTestFailed(f"the sample fails here: {error}") from error.__cause__
    except (OSError, ContractError) as error:
        raise SelfTestFailed(f"the sample cannot be read: {error}") from error
    if differences:
        raise SelfTestFailed(
            "the sample gets other outputs here than where it was packed: "
            f"{', '.join(found.name for found in differences[:8])}\n{format_table(differences)}",
            differences,
        )


def replay(handler: EisenServingHandler, folder: Path, sample: RecordedSample) -> list[Difference]:
    """Answer the recorded request, and return how the reply differs from the recorded one.

    :raises StageFailed: if a stage raises.
    :raises ContractError: if a recorded body cannot be decoded.
    """
    start = perf_counter()
    request, reply = sample.request, sample.reply
    got = predict(handler, to_request(_read(folder, request), request.json_size))
    expected = protocol.decode_reply(_read(folder, reply), reply.json_size).outputs
    differences = compare(expected, got, sample.tolerance)
    agrees = f"{len(differences)} differences" if differences else "as recorded"
    _log.info("sample replayed in %.3f s: %s", perf_counter() - start, agrees)
    return differences


def predict(handler: EisenServingHandler, request: Request) -> dict[str, object]:
    """Answer one request by the stages that serve, and return the outputs of the reply.

    Unlike the pipeline, this lets errors out: the text of one may hold data, but a sample's.

    :returns: by name, as a client decodes them. The reply of a handler with a ``handle`` of its
        own may have any form: JSON and other bytes are then one output, ``reply``.
    :raises StageFailed: if a stage raises.
    """
    job = Job(request)
    for stage in pick_stages(handler):
        try:
            stage(handler, job)
        except (Exception, SystemExit) as error:  # noqa: PERF203 - the first one ends it
            raise StageFailed(stage.__name__, error, job.data) from error
    return decode_outputs(job.finished)


def decode_outputs(reply: Reply) -> dict[str, object]:
    """Return the outputs of a reply as a client decodes them; of another form, ``reply``."""
    size = reply.headers.get(protocol.LENGTH_HEADER)
    try:
        return protocol.decode_reply(bytearray(reply.body), int(size) if size else None).outputs
    except (ContractError, ValueError):
        pass  # a form of the handler's own
    try:
        return {"reply": json.loads(reply.body)}
    except ValueError:
        return {"reply": np.frombuffer(reply.body, np.uint8)}


def to_request(raw: bytearray, json_size: int | None) -> Request:
    """Return a body of the Open Inference Protocol as a server hands it over."""
    headers = protocol.Body((), json_size).headers
    return Request({name.lower(): value for name, value in headers.items()}, raw)


def _read(folder: Path, body: RecordedBody) -> bytearray:
    return bytearray((folder / body.file).read_bytes())
