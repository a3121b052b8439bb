"""Batches to request bodies, and answers to results.

The errors of the contract end here: what leaves are this client's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from eisen_deploy.client._errors import InvalidInput, MalformedReply, UnexpectedReply
from eisen_deploy.client._http.replies import Answer, checked_word
from eisen_deploy.client._predictions import ModelIdentity, Prediction
from eisen_deploy.client._shared.errors import ContractError
from eisen_deploy.client._shared.wire import protocol, strict_json
from eisen_deploy.client._shared.wire.allowance import Allowance
from eisen_deploy.client._shared.wire.protocol import Body

#: The request that asks for the metadata.
EMPTY = Body((), None)
#: Bytes of memory that a reply's texts, lists and single values may take: more of them would take
#: seconds past the deadline.
MAX_OBJECTS = 24 * 2**20
#: The same of metadata, which are copied for whom they are given to.
MAX_METADATA = 12 * 2**20
_MAX_REASON = 1000


def check_names(batch: Any, outputs: Any) -> None:
    """Check what a batch is made of, before anything else looks at it.

    :raises InvalidInput: if it is not a mapping from names, or ``outputs`` not a list of names.
    """
    problems = []
    if not isinstance(batch, Mapping):
        problems.append(f"batch: expected a dict of inputs by name, came {type(batch).__name__}")
    elif not all(map(_is_name, batch)):
        problems.append("batch: expected names that are text and not empty")
    if outputs is not None and (isinstance(outputs, str) or not all(map(_is_name, outputs))):
        problems.append("outputs: expected a list of names")
    if problems:
        raise _invalid(problems)


def conform(
    batch: Mapping[str, Any], metadata: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...] | None]:
    """Return a batch as the metadata declares it, converted where that loses nothing.

    :returns: the batch, and the names of the declared outputs; ``None`` if none are declared.
    :raises InvalidInput: with everything in which the batch differs.
    """
    from eisen_deploy.client._shared.model.metadata import Metadata  # noqa: PLC0415 - a sixth of the import's time

    declared = Metadata.parse(metadata)
    try:
        conformed = declared.conform(batch)
    except ContractError as error:
        raise _invalid(error.problems) from None
    outputs = declared.outputs
    return conformed, None if outputs is None else tuple(field.name for field in outputs)


def encode(batch: Mapping[str, Any], outputs: Iterable[str] | None, id_: str) -> Body:
    """Return the request's body, which shares the memory of the arrays where it can.

    :raises InvalidInput: with every value that cannot be sent.
    """
    try:
        return protocol.encode_request(batch, outputs=outputs, id=id_)
    except ContractError:
        raise _invalid(_unsendable(batch)) from None


def decode(answer: Answer, outputs: Iterable[str] | None, id_: str) -> Prediction:
    """Return the outputs, whose arrays are views of the answer's body where alignment allows.

    :param outputs: names of those that were asked for or are declared; ``None`` takes any.
    :param id_: the name that was sent with the request.
    :raises MalformedReply: if the answer is not a whole reply with these outputs and no others.
    """
    _refuse_page(answer)
    try:
        text = answer.headers.get(protocol.LENGTH_HEADER)
        json_size = protocol.parse_json_size(text, len(answer.body))
        reply = protocol.decode_reply(answer.body, json_size, MAX_OBJECTS)
    except ContractError as error:
        raise _unreadable(answer, f"{error}{_hint(answer)}") from None
    if reply.id is not None and reply.id != id_:
        raise _unreadable(answer, "it is the answer to another request")
    if outputs and (absent := set(outputs).difference(reply.outputs)):
        raise _unreadable(answer, f"it lacks {len(absent)} of the outputs asked for or declared")
    if outputs and (strange := set(reply.outputs).difference(outputs)):
        raise _unreadable(answer, f"{len(strange)} of its outputs were not asked for or declared")
    model = ModelIdentity(
        answer.identity.name or checked_word(reply.model_name),
        answer.identity.version or checked_word(reply.model_version),
        answer.identity.digest,
    )
    return Prediction(reply.outputs, model=model, request_id=answer.request_id or id_)


def decode_metadata(answer: Answer) -> dict[str, Any]:
    """Return the metadata that a server answers.

    :raises MalformedReply: if the answer is not a JSON object.
    """
    _refuse_page(answer)
    try:
        return strict_json.loads_object(answer.body, "the body", Allowance(MAX_METADATA))
    except ContractError as error:
        raise _unreadable(answer, str(error)) from None


def _refuse_page(answer: Answer) -> None:
    if answer.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise UnexpectedReply(
            "the answer is an HTML page: a proxy or a login page stands before the server",
            **_origin(answer),
        )


def _unreadable(answer: Answer, reason: str) -> MalformedReply:
    if len(reason) > _MAX_REASON:  # it may name what a stranger named
        reason = f"{reason[: _MAX_REASON - 3]}..."
    return MalformedReply(f"the reply cannot be read: {reason}", **_origin(answer))


def _origin(answer: Answer) -> dict[str, Any]:
    return {"status": answer.status, "request_id": answer.request_id, "model": answer.model}


def _hint(answer: Answer) -> str:
    kind = answer.headers.get("Content-Type", "").lower()
    if kind.startswith(protocol.BINARY_TYPE) and protocol.LENGTH_HEADER not in answer.headers:
        return f"; its header {protocol.LENGTH_HEADER} is missing, a proxy may have taken it"
    return ""


def _unsendable(batch: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with each value: the encoder stops at the first."""
    return [text for item in batch.items() for text in _refusals(dict([item]))]


def _refusals(batch: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        protocol.encode_request(batch)
    except ContractError as error:
        return error.problems
    return ()


def _is_name(name: Any) -> bool:
    if not isinstance(name, str) or not name:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _invalid(problems: Iterable[str]) -> InvalidInput:
    listed = tuple(problems)
    text = "; ".join(listed)
    if len(text) > _MAX_REASON:  # a problem for each of many inputs, or for one of a long name
        text = f"{text[: _MAX_REASON - 3]}... ({len(listed)} problems in all)"
    return InvalidInput(f"the batch was not sent: {text}", problems=listed)
