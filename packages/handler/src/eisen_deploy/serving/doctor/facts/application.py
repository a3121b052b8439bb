"""A server with Eisen-Deploy's own application, uvicorn for one, as it looks from here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from eisen_deploy.serving.engines.asgi.descriptions import SERVER
from eisen_deploy.serving.engines.keys import Keys
from eisen_deploy.serving.engines.options import is_loopback
from eisen_deploy.serving.engines.torchserve.calls import Answer, Endpoint, ask

from .certificate import Certificate, check_certificate
from .probes import find_own_address

#: Answers of the application to a request without the right token.
NO_TOKEN = "Unauthorized"  # noqa: S105 - a name of an error
_ABOUT, _READY = "/v2", "/v2/health/ready"
# More than any server takes: it is refused by its length alone, with a text that names the limit.
_TOO_MUCH = 2**60
_LIMIT = re.compile(r"the server takes (\d+)")


@dataclass(frozen=True)
class Application:
    """All that the checks of such a server look at.

    :param about: the server's metadata, asked without a token; ``known`` with the one that is
        given, if one is.
    :param ready: to a question that needs no token: whether the model answers.
    :param outside: the address for others under which it answers too, where it was asked on
        loopback.
    :param models: the answers to empty requests, which ask for the metadata, by model.
    :param limit: of a request, in bytes; ``None`` where it could not be found.
    """

    endpoint: Endpoint
    about: Answer
    known: Answer
    ready: Answer
    certificate: Certificate | None
    outside: Endpoint | None
    models: Mapping[str, Answer]
    limit: int | None

    @property
    def has_tokens(self) -> bool:
        """Whether a request without a token is refused."""
        return self.about.kind == NO_TOKEN

    @property
    def reach(self) -> Endpoint | None:
        """Where other machines reach it; ``None`` where only this one does."""
        return self.outside or (None if is_loopback(self.endpoint.host) else self.endpoint)

    @property
    def libraries(self) -> Mapping[str, str | None]:
        """Versions by distribution; ``None`` where it is not installed. Empty without the token."""
        return self.known.json["libraries"] if self.known.status == 200 else {}


def is_application(url: str, timeout: float) -> bool:
    """Return whether it is such a server that answers.

    :raises ValueError: if the address is invalid.
    """
    answer = ask(Endpoint.parse(url), "GET", _ABOUT, timeout=timeout)
    said = answer.json
    is_named = isinstance(said, dict) and said.get("name") == SERVER
    return is_named or (answer.status == 401 and answer.kind == NO_TOKEN)


def ask_application(
    url: str,
    *,
    keys: Keys | None = None,
    models: Iterable[str] = (),
    authorities: Path | None = None,
    timeout: float = 5.0,
) -> tuple[Application, list[str]]:
    """Ask such a server for all that can be asked without changing anything.

    The parameters and what is returned are those of :func:`.running_server.ask_server`.
    """
    endpoint, token, unexamined = Endpoint.parse(url), (keys or Keys()).inference, list[str]()

    def get(path: str, given: str | None = None) -> Answer:
        return ask(endpoint, "GET", path, token=given, timeout=timeout)

    about = get(_ABOUT)
    known = about if token is None else get(_ABOUT, token)
    certificate = None
    if endpoint.scheme == "https":
        try:
            certificate = check_certificate(endpoint, authorities, timeout)
        except OSError as error:
            unexamined.append(f"certificate: {error.strerror or error}")
    names = list(dict.fromkeys([*_find_models(get("/openapi.json", token)), *models]))
    answers = {
        name: ask(endpoint, "POST", _prediction(name), token=token, timeout=timeout)
        for name in names
    }
    limit = _find_limit(endpoint, names, token, timeout)
    if known.kind == NO_TOKEN:
        unexamined.append("model, limit, versions: the server asks for its token: use --token-file")
    elif limit is None:
        unexamined.append("limit of a request: a length that is too large is not refused")
    outside = _find_outside(endpoint, timeout)
    ready = get(_READY)
    return (
        Application(endpoint, about, known, ready, certificate, outside, answers, limit),
        unexamined,
    )


def _prediction(name: str) -> str:
    return f"/predictions/{quote(name, safe='/')}"


def _find_models(api: Answer) -> list[str]:
    """Return the models that a description of the API names by their addresses."""
    paths = api.json.get("paths", ()) if isinstance(api.json, dict) else ()
    return [path.removeprefix("/predictions/") for path in paths if path.startswith("/predictions")]


def _find_limit(
    endpoint: Endpoint, names: list[str], token: str | None, timeout: float
) -> int | None:
    """Return what a request that announces too much is told; nothing of it is sent."""
    for name in names[:1]:
        headers = {"Content-Length": str(_TOO_MUCH), "Expect": "100-continue"}
        answer = ask(
            endpoint, "POST", _prediction(name), None, headers, token=token, timeout=timeout
        )
        if answer.status == 413 and (
            match := _LIMIT.search(answer.body.decode("utf-8", "replace"))
        ):
            return int(match[1])
    return None


def _find_outside(endpoint: Endpoint, timeout: float) -> Endpoint | None:
    own = find_own_address()
    if not is_loopback(endpoint.host) or own is None:
        return None
    there = endpoint.beside(endpoint.port, own)
    return there if ask(there, "GET", _READY, timeout=min(timeout, 2.0)).status else None
