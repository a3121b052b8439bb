"""From a batch to the body of a request: its names are checked, its values conformed and encoded.

The errors of the contract end here: what leaves are this client's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from eisen_deploy.client._errors import InvalidInput
from eisen_deploy.client._shared.errors import ContractError
from eisen_deploy.client._shared.wire import protocol
from eisen_deploy.client._shared.wire.protocol import Body

_MAX_REASON = 1000


def check_names(batch: object, outputs: Iterable[object] | None) -> None:
    """Check what a batch is made of, before anything else looks at it.

    :raises InvalidInput: if it is not a mapping from names, or ``outputs`` not a list of names.
    """
    problems = []
    if not isinstance(batch, Mapping):
        problems.append(f"batch: expected a dict of inputs by name, got {type(batch).__name__}")
    elif not all(map(_is_name, batch)):
        problems.append("batch: expected names that are text and not empty")
    if outputs is not None and (isinstance(outputs, str) or not all(map(_is_name, outputs))):
        problems.append("outputs: expected a list of names")
    if problems:
        raise _invalid(problems)


def conform(
    batch: Mapping[str, object], metadata: Mapping[str, object]
) -> tuple[Mapping[str, object], tuple[str, ...] | None]:
    """Return a batch as the metadata declares it, converted where that loses nothing.

    :returns: the batch, and the names of the declared outputs; ``None`` if none are declared.
    :raises InvalidInput: with every way in which the batch differs.
    """
    from eisen_deploy.client._shared.model.metadata import Metadata  # noqa: PLC0415 - a sixth of the import's time

    declared = Metadata.parse(metadata)
    try:
        conformed = declared.conform(batch)
    except ContractError as error:
        raise _invalid(error.problems) from None
    outputs = declared.outputs
    return conformed, None if outputs is None else tuple(field.name for field in outputs)


def encode(batch: Mapping[str, object], outputs: Iterable[str] | None, id_: str) -> Body:
    """Return the request's body, which shares the memory of the arrays where it can.

    :raises InvalidInput: with every value that cannot be sent.
    """
    try:
        return protocol.encode_request(batch, outputs=outputs, id=id_)
    except ContractError:
        raise _invalid(_find_unsendable(batch)) from None


def _find_unsendable(batch: Mapping[str, object]) -> list[str]:
    """Return what is wrong with each value: the encoder stops at the first."""
    return [text for item in batch.items() for text in _find_problems(dict([item]))]


def _find_problems(batch: Mapping[str, object]) -> tuple[str, ...]:
    try:
        protocol.encode_request(batch)
    except ContractError as error:
        return error.problems
    return ()


def _is_name(name: object) -> bool:
    if not isinstance(name, str) or not name:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _invalid(problems: Iterable[str]) -> InvalidInput:
    listed = tuple(problems)
    text = "; ".join(listed)
    if len(text) > _MAX_REASON:  # a problem for each of many inputs, or for one of a long name
        text = f"{text[: _MAX_REASON - 3]}... ({len(listed)} problems in all)"
    return InvalidInput(f"the batch was not sent: {text}", problems=listed)
