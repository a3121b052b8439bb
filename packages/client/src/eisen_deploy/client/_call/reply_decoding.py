"""From an answer to what the caller gets: the outputs of a model, or its metadata.

The errors of the contract end here: what leaves are this client's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from eisen_deploy.client._errors import MalformedReply, UnexpectedReply
from eisen_deploy.client._http.answers import HTTPAnswer, accept_name
from eisen_deploy.client._predictions import ModelIdentity, Prediction
from eisen_deploy.client._shared.errors import ContractError
from eisen_deploy.client._shared.wire import protocol, strict_json
from eisen_deploy.client._shared.wire.allowance import Allowance

#: Bytes of memory that a reply's texts, lists and single values may take: more of them would take
#: seconds past the deadline.
MAX_OBJECTS = 24 * 2**20
#: The same of metadata, which are copied for each caller.
MAX_METADATA = 12 * 2**20
_MAX_REASON = 1000


def decode(answer: HTTPAnswer, outputs: Iterable[str] | None, id_: str) -> Prediction:
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
        raise _unreadable(answer, f"{error}{_explain_lost_header(answer)}") from None
    if reply.id is not None and reply.id != id_:
        raise _unreadable(answer, "it is the answer to another request")
    if outputs and (absent := set(outputs).difference(reply.outputs)):
        raise _unreadable(answer, f"it lacks {len(absent)} of the outputs asked for or declared")
    if outputs and (strange := set(reply.outputs).difference(outputs)):
        raise _unreadable(answer, f"{len(strange)} of its outputs were not asked for or declared")
    model = ModelIdentity(
        answer.identity.name or accept_name(reply.model_name),
        answer.identity.version or accept_name(reply.model_version),
        answer.identity.digest,
    )
    return Prediction(reply.outputs, model=model, request_id=answer.request_id or id_)


def decode_metadata(answer: HTTPAnswer) -> dict[str, Any]:
    """Return the metadata that a server answers.

    :raises MalformedReply: if the answer is not a JSON object.
    """
    _refuse_page(answer)
    try:
        return strict_json.loads_object(answer.body, "the body", Allowance(MAX_METADATA))
    except ContractError as error:
        raise _unreadable(answer, str(error)) from None


def _refuse_page(answer: HTTPAnswer) -> None:
    if answer.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise UnexpectedReply(
            "the answer is an HTML page: a proxy or a login page stands before the server",
            **_describe_origin(answer),
        )


def _unreadable(answer: HTTPAnswer, reason: str) -> MalformedReply:
    if len(reason) > _MAX_REASON:  # it may quote names from the reply
        reason = f"{reason[: _MAX_REASON - 3]}..."
    return MalformedReply(f"the reply cannot be read: {reason}", **_describe_origin(answer))


def _describe_origin(answer: HTTPAnswer) -> dict[str, object]:
    return {"status": answer.status, "request_id": answer.request_id, "model": answer.model}


def _explain_lost_header(answer: HTTPAnswer) -> str:
    kind = answer.headers.get("Content-Type", "").lower()
    if kind.startswith(protocol.BINARY_TYPE) and protocol.LENGTH_HEADER not in answer.headers:
        return f"; its header {protocol.LENGTH_HEADER} is missing, a proxy may have removed it"
    return ""
