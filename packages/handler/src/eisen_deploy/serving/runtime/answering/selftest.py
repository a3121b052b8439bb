"""The sample of an archive, replayed: a recorded request must still get the recorded reply.

Packaging records both with :func:`replied`, and a server replays the request once it has loaded the
archive. That warms the model up, and finds what no digest can: another library, another device,
code that relied on the machine where it was packed.

Equal is, with the tolerance that was recorded:

================================  ==============================================================
value                             equal if
================================  ==============================================================
floats, complex numbers by parts  the largest difference is at most the tolerance, times the
                                  largest finite number expected where that is more than 1;
                                  NaN and infinities stand in the same places
arrays of integers and bool       the share of elements that differ is at most the tolerance
everything else                   it is the same; lists and dicts item by item
================================  ==============================================================

Names, dtypes and shapes are always the same. Texts from here hold no values but differences.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from .._shared.archive.description import RecordedBody, RecordedSample
from .._shared.errors import ContractError
from .._shared.wire import protocol
from ..errors import Difference, SelfTestFailed
from ..handler import EisenServingHandler
from ..messages import Reply, Request
from . import pipeline
from .jobs import Job

if TYPE_CHECKING:
    from .pipeline import Stage

_log = logging.getLogger("eisen_deploy.serving")

Array = np.ndarray[Any, Any]

_MOST_ROWS = 50
_BLOCK = 2**20  # elements compared at a time, as double precision


class StageFailed(Exception):
    """A stage raised; the cause says what.

    :param stage: its name, ``decode`` to ``encode``, or ``handle`` where that is overridden.
    """

    def __init__(self, stage: str, error: BaseException) -> None:
        self.stage = stage
        super().__init__(f"{stage} raised {type(error).__name__}: {error}")


# --- replay -------------------------------------------------------------------------------


def check(handler: EisenServingHandler, folder: Path, sample: RecordedSample) -> None:
    """Replay a sample, and refuse the archive if it no longer agrees.

    :param folder: of the unpacked and verified archive.
    :raises SelfTestFailed: with each difference, or with the error that came as its cause.
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
            f"{', '.join(found.name for found in differences[:8])}\n{table(differences)}",
            differences,
        )


def replay(handler: EisenServingHandler, folder: Path, sample: RecordedSample) -> list[Difference]:
    """Answer the recorded request, and return how the reply differs from the recorded one.

    :raises StageFailed: if a stage raises.
    :raises ContractError: if a recorded body cannot be decoded.
    """
    start = perf_counter()
    got = replied(handler, _request(folder, sample.request))
    reply = sample.reply
    expected = protocol.decode_reply(_read(folder, reply), reply.json_size).outputs
    differences = compare(expected, got, sample.tolerance)
    agrees = f"{len(differences)} differences" if differences else "as recorded"
    _log.info("sample replayed in %.3f s: %s", perf_counter() - start, agrees)
    return differences


def replied(handler: EisenServingHandler, request: Request) -> dict[str, Any]:
    """Answer one request by the stages that serve, and return the outputs of the reply.

    Unlike the pipeline, this lets errors out: the text of one may hold data, but a sample's.

    :returns: by name, as a client decodes them. The reply of a handler with a ``handle`` of its
        own may have any form: JSON and other bytes are then one output, ``reply``.
    :raises StageFailed: if a stage raises.
    """
    job = Job(request)
    for stage in pipeline.stages(handler):
        _run(stage, handler, job)
    return outputs_of(job.reply or Reply(()))


def _run(stage: Stage, handler: EisenServingHandler, job: Job) -> None:
    try:
        stage(handler, job)
    except (Exception, SystemExit) as error:
        raise StageFailed(stage.__name__, error) from error


def outputs_of(reply: Reply) -> dict[str, Any]:
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


def _request(folder: Path, body: RecordedBody) -> Request:
    return to_request(_read(folder, body), body.json_size)


def to_request(raw: bytearray, json_size: int | None) -> Request:
    """Return a body of the Open Inference Protocol as a server hands it over."""
    headers = protocol.Body((), json_size).headers
    return Request({name.lower(): value for name, value in headers.items()}, raw)


def _read(folder: Path, body: RecordedBody) -> bytearray:
    return bytearray((folder / body.file).read_bytes())


# --- compare ------------------------------------------------------------------------------


def compare(
    expected: Mapping[str, Any], got: Mapping[str, Any], tolerance: float
) -> list[Difference]:
    """Return what differs between two sets of outputs; the module's text tells what is equal.

    :param tolerance: 0 asks for the very same values.
    :returns: the first differences, at most 50.
    """
    return list(islice(_of_dicts("", expected, got, tolerance), _MOST_ROWS))


def table(differences: Sequence[Difference]) -> str:
    """Return differences as an aligned table in text, with a head and no newline at its end."""
    rows = [("name", "expected", "got", "maximal difference"), *differences]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def _of_dicts(
    prefix: str, expected: Mapping[str, Any], got: Mapping[str, Any], tolerance: float
) -> Iterator[Difference]:
    for name in [*expected, *(name for name in got if name not in expected)]:
        path = f"{prefix}.{name}" if prefix else name
        if name not in got:
            yield Difference(path, _described(expected[name]), "nothing", "-")
        elif name not in expected:
            yield Difference(path, "nothing", _described(got[name]), "-")
        else:
            yield from _of_values(path, expected[name], got[name], tolerance)


def _of_values(path: str, expected: Any, got: Any, tolerance: float) -> Iterator[Difference]:
    what = _described(expected), _described(got)
    if type(expected) is not type(got):
        yield Difference(path, *what, "another type")
    elif isinstance(expected, dict):
        yield from _of_dicts(path, expected, got, tolerance)
    elif isinstance(expected, list) and len(expected) == len(got):
        for index, (one, other) in enumerate(zip(expected, got, strict=True)):
            yield from _of_values(f"{path}[{index}]", one, other, tolerance)
    elif isinstance(expected, (float, np.ndarray)):
        difference = _of_arrays(np.asarray(expected), np.asarray(got), tolerance)
        if difference:
            yield Difference(path, *what, difference)
    elif expected != got:
        yield Difference(path, *what, "another length" if what[0] != what[1] else "another value")


def _described(value: Any) -> str:
    if isinstance(value, np.ndarray):
        kind = "str or bytes" if value.dtype.hasobject else value.dtype.name
        return f"{kind} {list(value.shape)}"
    if isinstance(value, (str, list, dict)):
        return f"{type(value).__name__} of {len(value)}"
    return "null" if value is None else type(value).__name__


def _of_arrays(expected: Array, got: Array, tolerance: float) -> str | None:
    if expected.shape != got.shape:
        return "another shape"
    if expected.dtype != got.dtype:
        return "another dtype"
    compare_as = _of_floats if expected.dtype.kind in "fc" else _of_elements
    return compare_as(_flat(expected), _flat(got), tolerance)


def _flat(array: Array) -> Array:
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(f"f{flat.itemsize // 2}") if flat.dtype.kind == "c" else flat


def _of_elements(expected: Array, got: Array, tolerance: float) -> str | None:
    differ = sum(_in_blocks(lambda one, other: np.count_nonzero(one != other), expected, got))
    allowed = 0 if expected.dtype.hasobject else tolerance * expected.size
    return f"{differ} of {expected.size} elements" if differ > allowed else None


def _of_floats(expected: Array, got: Array, tolerance: float) -> str | None:
    stray, largest, scale = 0, 0.0, 1.0
    for strays, difference, size in _in_blocks(_float_block, expected, got):
        stray, largest, scale = stray + strays, max(largest, difference), max(scale, size)
    if stray:
        return f"NaN or infinity in {stray} other places"
    return f"{largest:.6g}" if not largest <= tolerance * scale else None


def _float_block(expected: Array, got: Array) -> tuple[int, float, float]:
    """Return how many NaN or infinities have no equal, the largest difference and number else."""
    one, other = expected.astype(np.float64), got.astype(np.float64)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    finite = np.isfinite(one) & np.isfinite(other)
    stray = np.count_nonzero(~finite & ~same)
    with np.errstate(over="ignore"):
        difference = np.abs(one[finite] - other[finite]).max(initial=0)
    return int(stray), float(difference), float(np.abs(one[np.isfinite(one)]).max(initial=0))


def _in_blocks(measure: Callable[[Array, Array], Any], one: Array, other: Array) -> Iterator[Any]:
    for start in range(0, one.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        yield measure(one[block], other[block])
