"""The proof that requests may share a forward pass: no row depends on the rows beside it.

The handler runs here as on a server, first with the model alone and then with the transforms as
well. The sample and altered forms of it (:mod:`.alterations`) run alone; then they run in batches,
in several orders. Each has to get what it got alone, with as many rows as it has. Statistics over
the batch, padding to the longest, outputs of variable length or without a batch axis, and state
that a transform keeps from one request to the next are found so. It is a proof by examples, as
good as the sample.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch

from eisen_deploy.serving import EisenServingHandler
from eisen_deploy.serving.runtime._shared.archive.batches import Batches
from eisen_deploy.serving.runtime.answering import batching, pipeline, selftest, stages
from eisen_deploy.serving.runtime.answering.bodies.decode import decode
from eisen_deploy.serving.runtime.archive.outputs import copy_arrays
from eisen_deploy.serving.runtime.handler import runs_user_code
from eisen_deploy.serving.runtime.messages import Request

from . import alterations
from .alterations import Array, change_types, resize, vary

Given = Mapping[str, Any]
Outputs = dict[str, Any]
MakeRequest = Callable[["Given | None"], Request]
_G = TypeVar("_G")
_T = TypeVar("_T")

#: With more elements in the sample, a proof that nobody has asked for takes too long.
SMALL = 2**20
_FEW = 7
_TOGETHER = 8
_SEED = 7


class _Depends(Exception):
    """A row depends on the rows beside it; the text says how that shows."""


class _Refused(Exception):
    """A request is answered with an error."""


@dataclass
class _Part:
    """One altered form of the sample: its name, what is run, and what that gives alone."""

    name: str
    given: Given
    alone: Outputs


def examine(
    handler: EisenServingHandler,
    make_request: MakeRequest,
    *,
    tolerance: float,
    batch_size: int | None,
) -> Batches:
    """Return whether requests may share a pass of this handler's model, and why.

    :param handler: the archive's, initialised; it is left as it was.
    :param make_request: returns a request with these inputs; with the sample's for ``None``.
    :param tolerance: by which outputs may differ, as of the sample.
    :param batch_size: that the archive asks for; without it, a large sample is not examined.
    """
    archive = handler.archive
    log = logging.getLogger("eisen_deploy.serving")
    # Both are undone below. Altered forms of the sample may well make a model raise.
    handler._loaded = replace(archive, batches=Batches(shared=True))  # noqa: SLF001
    was_disabled, log.disabled = log.disabled, True
    try:
        problem = batching.find_problem(handler)
        if problem is not None:
            return Batches(reason=problem)
        inputs = decode(make_request(None), handler.metadata).inputs or {}
        size = sum(array.size for array in _select_arrays(inputs).values())
        if not size:
            return Batches(reason="the sample has no rows")
        if size > SMALL and (batch_size or 1) == 1:
            return Batches(
                reason="it was not examined, since the sample is large: ask for it with "
                'serving={"batch_size": ...}'
            )
        examined = _Examination(handler, tolerance, batch_size or _TOGETHER, small=size <= SMALL)
        return examined.run(inputs, make_request)
    finally:
        handler._loaded = archive  # noqa: SLF001
        log.disabled = was_disabled


class _Examination:
    """The runs of one proof.

    :param together: how many parts are in a batch at most.
    :param small: whether there is time for all alterations.
    """

    def __init__(
        self, handler: EisenServingHandler, tolerance: float, together: int, *, small: bool
    ) -> None:
        self._handler = handler
        self._tolerance = tolerance
        self._together = together
        self._alterations = list(alterations.ALTERATIONS)[: None if small else _FEW]
        self._sizes = None if small else 1
        self._tried = self._refused = 0

    def run(self, inputs: Given, make_request: MakeRequest) -> Batches:
        """Run everything, and return what was found."""
        try:
            self._examine_model(inputs)
            self._examine_pipeline(inputs, make_request)
        except _Depends as found:
            return Batches(reason=str(found), tried=self._tried, refused=self._refused)
        reason = "each altered form of the sample got the same answer alone and in batches"
        return Batches(True, reason, self._tried, self._refused)

    # --- the model ------------------------------------------------------------------------

    def _examine_model(self, inputs: Given) -> None:
        batch = self._handler.pre_process(copy_arrays(dict(inputs)))
        arguments = self._handler.model_arguments(batch)
        if not batching.can_share(arguments):
            raise _Depends("the model's arguments are not arrays of one length on axis 0")
        names = self._handler.metadata.model_inputs or tuple(batch)
        given = {
            name: value.detach().cpu().numpy() for name, value in zip(names, arguments, strict=True)
        }
        parts = list(self._run_alone(self._alter(given), self._run_model))
        self._tried, self._refused = len(parts), len(self._alterations) - len(parts)
        if len(parts) > 1 and not _differ(parts):
            raise _Depends("the model gives the same for all altered forms, which shows nothing")
        for chunk in self._make_batches(parts):
            arrays = {name: np.concatenate([each.given[name] for each in chunk]) for name in given}
            outputs = _run_together(chunk, self._run_model, arrays)
            rows = batching.split(outputs, [len(next(iter(each.given.values()))) for each in chunk])
            self._compare(chunk, rows)

    def _run_model(self, arrays: Given) -> Outputs:
        arguments = [torch.from_numpy(array.copy()) for array in arrays.values()]
        outputs: Outputs = copy_arrays(self._handler.run_model(arguments))
        rows = len(arguments[0])
        for name, value in outputs.items():
            if not isinstance(value, np.ndarray) or not value.ndim or len(value) != rows:
                got = list(value.shape) if isinstance(value, np.ndarray) else type(value).__name__
                raise _Depends(f"the model's output {name} is {got} for a batch of {rows} rows")
        return outputs

    # --- transforms and model -------------------------------------------------------------

    def _examine_pipeline(self, inputs: Given, make_request: MakeRequest) -> None:
        def run_together(given: Sequence[Given]) -> list[Outputs]:
            return self._answer([make_request({**inputs, **each}) for each in given])

        def run(given: Given) -> Outputs:
            return run_together([given])[0]

        arrays = _select_arrays(inputs)
        parts = list(self._run_alone(self._alter(arrays), run))
        metadata = self._handler.metadata
        parts += self._run_alone(islice(resize(arrays, metadata), self._sizes), run)
        parts += self._run_alone(change_types(arrays, metadata), run)
        for name, value in inputs.items():
            parts += [] if name in arrays else self._run_varied(name, value, run)
        for chunk in self._make_batches(parts):
            self._compare(chunk, _run_together(chunk, run_together, [part.given for part in chunk]))

    def _run_varied(
        self, name: str, value: object, run: Callable[[Given], Outputs]
    ) -> Sequence[_Part]:
        """Run the sample with other values of one input that is not an array of numbers.

        Where all of them are refused, nothing shows whether one that pre-processing keeps for
        post-processing would meet another request there.
        """
        forms = ((f"the sample with another {name}", {name: other}) for other in vary(value))
        parts = list(self._run_alone(forms, run))
        transforms = (stages.pre_process, stages.post_process)
        if not parts and all(runs_user_code(self._handler, each) for each in transforms):
            raise _Depends(
                f"all other values of {name} that were tried are refused, so it is not known "
                "whether pre_processing keeps it for post_processing"
            )
        return parts

    def _answer(self, requests: Sequence[Request]) -> list[Outputs]:
        """Return the outputs that each request gets, if all of them get some."""
        replies = pipeline.answer(self._handler, requests)
        failed = [reply.status for reply in replies if reply.status != 200]
        if failed:
            raise _Refused(f"status {failed[0]}")
        return [selftest.decode_outputs(reply) for reply in replies]

    # --- both -----------------------------------------------------------------------------

    def _alter(self, arrays: Mapping[str, Array]) -> Iterator[tuple[str, dict[str, Array]]]:
        for name in self._alterations:
            yield name, alterations.alter(name, arrays, _SEED)

    def _run_alone(
        self, forms: Iterable[tuple[str, Given]], run: Callable[[Given], Outputs]
    ) -> Iterator[_Part]:
        """Yield the altered forms that can be run, each with what it gives alone."""
        for name, given in forms:
            try:
                alone = run(given)
            except _Depends:
                raise
            except (Exception, SystemExit):  # noqa: BLE001, S112 - it may refuse what is altered
                continue
            yield _Part(name, given, alone)

    def _make_batches(self, parts: Sequence[_Part]) -> Iterator[Sequence[_Part]]:
        """Yield the batches: all parts in several orders, and in pairs."""
        if len(parts) < 2:
            raise _Depends("the model refuses all altered forms of the sample but one")
        shuffled = random.Random(_SEED).sample(parts, len(parts))  # noqa: S311 - no secret
        for order in (parts, parts[::-1], shuffled):
            yield from _cut_into_batches(order, self._together)
        yield from _cut_into_batches(shuffled, 2)

    def _compare(self, chunk: Sequence[_Part], together: Sequence[Outputs]) -> None:
        for part, got in zip(chunk, together, strict=True):
            names = [*part.alone, *(name for name in got if name not in part.alone)]
            for name in names:
                if not _is_same(part.alone.get(name), got.get(name), self._tolerance):
                    others = _join_names([each for each in chunk if each is not part])
                    raise _Depends(
                        f"{name} of {part.name} is not what it is alone where it runs in one "
                        f"batch with {others}"
                    )


def _differ(parts: Sequence[_Part]) -> bool:
    """Whether some output has another first row in one part than in another."""
    names = parts[0].alone if parts else ()
    return any(len({part.alone[name][:1].tobytes() for part in parts}) > 1 for name in names)


def _run_together(chunk: Sequence[_Part], run: Callable[[_G], _T], given: _G) -> _T:
    """Run a batch; that it raises where each part does not is a finding."""
    try:
        return run(given)
    except _Depends:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever user code raises
        kind = type(error).__name__
        raise _Depends(f"{_join_names(chunk)} in one batch raise {kind}, and not alone") from None


def _select_arrays(inputs: Given) -> dict[str, Array]:
    """Return the inputs that are arrays of numbers."""
    return {
        name: value
        for name, value in inputs.items()
        if isinstance(value, np.ndarray) and value.dtype.kind in "biufc" and value.ndim
    }


def _cut_into_batches(parts: Sequence[_Part], size: int) -> Iterator[Sequence[_Part]]:
    """Yield batches of this size; the last one goes together with some that ran already."""
    size = min(max(size, 2), len(parts))
    for start in range(0, len(parts), size):
        chunk = parts[start : start + size]
        yield chunk if len(chunk) > 1 else parts[-size:]


def _join_names(parts: Sequence[_Part]) -> str:
    return ", ".join(part.name for part in parts)


def _is_same(expected: object, got: object, tolerance: float) -> bool:
    if not isinstance(expected, np.ndarray) or not isinstance(got, np.ndarray):
        return type(expected) is type(got) and bool(expected == got)
    if (expected.dtype, expected.shape) != (got.dtype, got.shape):
        return False
    if expected.dtype.kind not in "fc":
        differ = np.count_nonzero(expected != got)
        return bool(differ <= (0 if expected.dtype.hasobject else tolerance * expected.size))
    # No difference is too small beside the largest value here: outputs may be small as a whole.
    finite = np.abs(expected[np.isfinite(expected)])
    allowed = tolerance * float(finite.max(initial=0))
    return bool(np.allclose(got, expected, rtol=0, atol=allowed, equal_nan=True))
