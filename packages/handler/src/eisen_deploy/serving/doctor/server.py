"""A running server, as it looks from here: asked once, by HTTP, before the checks."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from eisen_deploy.serving.runtime.torchserve.server_config import STOCK_SIZE

from . import tls
from .asking import Answer, Endpoint, ask, own_address, takes_body
from .configuration import is_loopback
from .known_properties import MAX_INT

#: Answers of TorchServe to a request without the right token.
NO_TOKEN = "InvalidKeyException"  # noqa: S105 - a name of an error
READY = "READY"
_LOOKS = 3
_PAUSE = 0.7


@dataclass(frozen=True)
class Keys:
    """Tokens: one for inference, one for management."""

    inference: str | None = None
    management: str | None = None


@dataclass(frozen=True)
class Model:
    """One model.

    :param answer: to an empty request, which asks for the metadata.
    :param looks: its workers, each look some time after the one before; empty where management
        does not tell.
    """

    name: str
    answer: Answer
    looks: tuple[tuple[Mapping[str, Any], ...], ...] = ()

    @property
    def ready(self) -> int:
        """The workers that were ready at the last look."""
        return sum(worker.get("status") == READY for worker in self.looks[-1]) if self.looks else 0

    @property
    def processes(self) -> set[tuple[Any, Any]]:
        """Each worker that was ever seen, as its name and the number of its process."""
        seen = {(each.get("id"), each.get("pid")) for look in self.looks for each in look}
        return {(name, pid) for name, pid in seen if isinstance(pid, int) and pid > 0}


@dataclass(frozen=True)
class Server:
    """All that the checks of a running server look at.

    :param answer: to ``GET /ping`` without a token.
    :param with_token: the same with the token, where there is one.
    :param certificate: ``None`` without TLS.
    :param management: to a request without a token; ``None`` where it was not asked.
    :param outside: what of the server answers under an address of this machine that others reach,
        where it was asked for on loopback, as pairs of a name and an endpoint.
    :param limit: ``max_request_size``; ``None`` where it could not be found.
    """

    endpoint: Endpoint
    answer: Answer
    with_token: Answer | None
    certificate: tls.Certificate | None
    management_endpoint: Endpoint
    management: Answer | None
    metrics_endpoint: Endpoint
    metrics: Answer | None
    outside: tuple[tuple[str, Endpoint], ...] = ()
    limit: int | None = None
    version: str = ""
    models: tuple[Model, ...] = field(default=())

    @property
    def on_loopback(self) -> bool:
        """Whether it was asked under an address that only this machine has."""
        return is_loopback(self.endpoint.host)

    @property
    def is_torchserve(self) -> bool:
        """Whether it answers as TorchServe does."""
        return bool(self.version) or self.answer.kind == NO_TOKEN

    @property
    def has_tokens(self) -> bool:
        """Whether a request without a token is refused."""
        return self.answer.kind == NO_TOKEN


def look_at(
    url: str,
    *,
    management: str | None = None,
    metrics: str | None = None,
    keys: Keys | None = None,
    models: Iterable[str] = (),
    authorities: Path | None = None,
    timeout: float = 5.0,
) -> tuple[Server, list[str]]:
    """Ask a server for all that can be asked without changing anything.

    :param url: of inference, ``http://host:8080``.
    :param management: by default the port 8081, or the one behind that of ``url``.
    :param metrics: likewise, the port 8082 or the second.
    :param models: to ask besides those that management tells.
    :param authorities: a file with certificates to trust.
    :param timeout: for each answer, in seconds.
    :return: the facts, and a sentence for each thing that could not be looked at.
    :raises ValueError: if an address is none.
    """
    keys = keys or Keys()
    endpoint = Endpoint.parse(url)
    other = Endpoint.parse(management) if management else endpoint.beside(endpoint.port + 1)
    third = Endpoint.parse(metrics) if metrics else endpoint.beside(endpoint.port + 2)
    answer = ask(endpoint, "GET", "/ping", timeout=timeout)
    base = Server(endpoint, answer, None, None, other, None, third, None)
    if answer.status == 0:
        return base, []
    given = keys.inference
    open_management = ask(other, "GET", "/models", timeout=timeout)
    listed, unexamined = _listed(other, open_management, keys.management, timeout)
    names = dict.fromkeys([*listed, *models])
    if not names:
        unexamined.append("models: none is told: use --models, or --management with --token-file")
    server = Server(
        endpoint,
        answer,
        ask(endpoint, "GET", "/ping", token=given, timeout=timeout) if given else None,
        _certificate(endpoint, authorities, timeout, unexamined),
        other,
        open_management if _is_torchserve(open_management) else None,
        third,
        _metrics(third, timeout),
        tuple(_outside(endpoint, other, third, timeout)),
        _limit(endpoint, timeout),
        _version(endpoint, timeout),
        tuple(_models(endpoint, other, list(names), set(listed), keys, timeout)),
    )
    if server.management is None:
        unexamined.append(f"management: {other} does not answer: use --management")
    if server.limit is None:
        unexamined.append("max_request_size: the server does not answer Expect: 100-continue")
    return server, unexamined


def read_keys(path: Path) -> Keys:
    """Read tokens: TorchServe's ``key_file.json``, or a file with the token of inference.

    :raises OSError: if the file cannot be read.
    """
    text = path.read_text("utf-8").strip()
    try:
        keys = json.loads(text)
        return Keys(keys["inference"]["key"], keys["management"]["key"])
    except (ValueError, KeyError, TypeError):
        return Keys(text)


def _is_torchserve(answer: Answer) -> bool:
    known = answer.json
    told = isinstance(known, dict) and isinstance(known.get("models"), list)
    return (answer.status == 200 and told) or answer.kind == NO_TOKEN


def _listed(
    endpoint: Endpoint, answer: Answer, key: str | None, timeout: float
) -> tuple[list[str], list[str]]:
    """Return the models that management tells, and what it does not."""
    if answer.kind == NO_TOKEN and key is not None:
        answer = ask(endpoint, "GET", "/models", token=key, timeout=timeout)
    if answer.kind == NO_TOKEN:
        return [], ["workers: management asks for its token: use --token-file key_file.json"]
    if not _is_torchserve(answer):
        return [], []
    return [each["modelName"] for each in answer.json["models"] if "modelName" in each], []


def _certificate(
    endpoint: Endpoint, authorities: Path | None, timeout: float, unexamined: list[str]
) -> tls.Certificate | None:
    if endpoint.scheme == "http":
        return None
    try:
        return tls.look_at(endpoint, authorities, timeout)
    except OSError as error:
        unexamined.append(f"certificate: {error.strerror or error}")
        return None


def _metrics(endpoint: Endpoint, timeout: float) -> Answer | None:
    answer = ask(endpoint, "GET", "/metrics", timeout=timeout)
    return answer if answer.status == 200 else None


def _outside(
    inference: Endpoint, management: Endpoint, metrics: Endpoint, timeout: float
) -> list[tuple[str, Endpoint]]:
    """Return which interfaces of a server on loopback answer under another address too."""
    own = own_address()
    if not is_loopback(inference.host) or own is None:
        return []
    paths = {"inference": "/ping", "management": "/models", "metrics": "/metrics"}
    found = []
    for name, endpoint in zip(paths, (inference, management, metrics), strict=True):
        there = endpoint.beside(endpoint.port, own)
        if ask(there, "GET", paths[name], timeout=min(timeout, 2.0)).status:
            found.append((name, there))
    return found


def _limit(endpoint: Endpoint, timeout: float) -> int | None:
    """Find ``max_request_size`` by halving, with the stock one tried first; no body is sent."""
    if takes_body(endpoint, STOCK_SIZE, timeout) and not takes_body(
        endpoint, STOCK_SIZE + 1, timeout
    ):
        return STOCK_SIZE
    taken, refused = 0, MAX_INT + 1
    while refused - taken > 1:
        middle = (taken + refused) // 2
        takes = takes_body(endpoint, middle, timeout)
        if takes is None:
            return None
        taken, refused = (middle, refused) if takes else (taken, middle)
    return taken


def _version(endpoint: Endpoint, timeout: float) -> str:
    """Return the version that the description of the API tells; it asks for no token."""
    described = ask(endpoint, "OPTIONS", "/", timeout=timeout).json
    info = described.get("info") if isinstance(described, dict) else None
    known = isinstance(info, dict) and "TorchServe" in str(info.get("title"))
    return str(info["version"]) if known and isinstance(info, dict) and "version" in info else ""


def _models(
    inference: Endpoint,
    management: Endpoint,
    names: list[str],
    listed: set[str],
    keys: Keys,
    timeout: float,
) -> list[Model]:
    def _answer(name: str) -> Answer:
        path = f"/predictions/{quote(name, safe='')}"
        return ask(inference, "POST", path, token=keys.inference, timeout=timeout)

    with ThreadPoolExecutor(8) as pool:
        answers = dict(zip(names, pool.map(_answer, names), strict=True))
    looks: dict[str, list[tuple[Mapping[str, Any], ...]]] = {name: [] for name in names}
    for number in range(_LOOKS if listed else 0):
        time.sleep(_PAUSE if number else 0)
        for name in listed:
            path = f"/models/{quote(name, safe='')}"
            told = ask(management, "GET", path, token=keys.management, timeout=timeout).json
            workers = told[0].get("workers") if isinstance(told, list) and told else None
            if isinstance(workers, list):
                looks[name].append(tuple(workers))
    return [Model(name, answers[name], tuple(looks[name])) for name in names]
