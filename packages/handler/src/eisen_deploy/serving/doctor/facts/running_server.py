"""A running server, as it looks from here: asked once, by HTTP; nothing is sent that changes it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

from eisen_deploy.serving.engines.keys import Keys
from eisen_deploy.serving.engines.options import find_port_behind, is_loopback
from eisen_deploy.serving.engines.torchserve.calls import (
    Answer,
    Endpoint,
    Worker,
    ask,
    ask_workers,
)

from .certificate import Certificate, check_certificate
from .probes import find_own_address, find_request_limit

#: Answers of TorchServe to a request without the right token.
NO_TOKEN = "InvalidKeyException"  # noqa: S105 - a name of an error
_LOOKS = 3
_PAUSE = 0.7

Look = tuple[Worker, ...]


@dataclass(frozen=True)
class Model:
    """One model.

    :param answer: to an empty request, which asks for the metadata.
    :param looks: its workers at several times; empty where management does not list them.
    """

    name: str
    answer: Answer
    looks: tuple[Look, ...] = ()

    @property
    def ready(self) -> int:
        """The workers that were ready at the last look."""
        return sum(worker.is_ready for worker in self.looks[-1]) if self.looks else 0

    @property
    def restarted(self) -> list[str]:
        """The workers that were seen with more than one process."""
        seen = {(each.name, each.pid) for look in self.looks for each in look if each.pid > 0}
        names = [name for name, _ in seen]
        return sorted({name for name in names if names.count(name) > 1})


@dataclass(frozen=True)
class RunningServer:
    """All that the checks of a running server look at.

    :param answer: to ``GET /ping`` without a token.
    :param with_token: the same with the token, where there is one.
    :param certificate: ``None`` without TLS.
    :param management: to a request without a token; ``None`` where it was not asked.
    :param metrics: ``None`` where there are none.
    :param outside: the addresses for others under which it answers too, where it was asked on
        loopback: of inference, management and metrics, as ``/ping``, ``/models``, ``/metrics``.
    :param limit: ``max_request_size``; ``None`` where it could not be found.
    """

    endpoint: Endpoint
    answer: Answer
    with_token: Answer | None
    certificate: Certificate | None
    management_endpoint: Endpoint
    management: Answer | None
    metrics_endpoint: Endpoint
    metrics: Answer | None
    outside: Mapping[str, Endpoint] = field(default_factory=dict)
    limit: int | None = None
    version: str = ""
    models: tuple[Model, ...] = ()

    def reach(self, path: str, asked: Endpoint) -> Endpoint | None:
        """Return where other machines reach an interface; ``None`` where only this one does."""
        return self.outside.get(path) or (None if is_loopback(self.endpoint.host) else asked)

    @property
    def is_torchserve(self) -> bool:
        """Whether it answers as TorchServe does."""
        return bool(self.version) or self.answer.kind == NO_TOKEN

    @property
    def has_tokens(self) -> bool:
        """Whether a request without a token is refused."""
        return self.answer.kind == NO_TOKEN


def ask_server(
    url: str,
    *,
    management: str | None = None,
    metrics: str | None = None,
    keys: Keys | None = None,
    models: Iterable[str] = (),
    authorities: Path | None = None,
    timeout: float = 5.0,
) -> tuple[RunningServer, list[str]]:
    """Ask a server for all that can be asked without changing anything.

    :param url: of inference, ``http://host:8080``.
    :param management: by default at the port behind that of ``url``, see ``find_port_behind``.
    :param metrics: likewise, at the second one.
    :param models: to ask besides those that management lists.
    :param authorities: a file with certificates to trust.
    :param timeout: for each answer, in seconds.
    :return: the facts, and a sentence for each thing that could not be looked at.
    :raises ValueError: if an address is invalid.
    """
    inference = Endpoint.parse(url)
    other = _find_interface(inference, management, 1, timeout)
    third = _find_interface(inference, metrics, 2, timeout)
    asker = _Asker({"/ping": inference, "/models": other, "/metrics": third}, timeout)
    answer, keys = asker.ask("/ping"), keys or Keys()
    if answer.status == 0:
        return RunningServer(inference, answer, None, None, other, None, third, None), []
    measured = asker.ask("/metrics")
    server = RunningServer(
        inference,
        answer,
        asker.ask("/ping", keys.inference) if keys.inference else None,
        asker.check_certificate(authorities),
        other,
        asker.ask_management(),
        third,
        measured if measured.status == 200 else None,
        asker.find_outside(),
        asker.find_limit(),
        asker.ask_version(),
        tuple(asker.ask_models(keys, models)),
    )
    return server, asker.unexamined


def _find_interface(
    inference: Endpoint, given: str | None, distance: int, timeout: float
) -> Endpoint:
    """Return an address that is given, or the one so many ports behind that of inference.

    Those of ``eisen-serve`` are on loopback, without TLS even where inference has it.
    """
    if given:
        return Endpoint.parse(given)
    found = inference.beside(find_port_behind(inference.port, distance))
    plain = replace(found, scheme="http")
    is_plain = found != plain and ask(plain, "GET", "/", timeout=timeout).status != 0
    return plain if is_plain else found


@dataclass
class _Asker:
    """Asks a server, and notes what could not be asked.

    :param interfaces: inference, management and metrics, by the path that each answers.
    """

    interfaces: Mapping[str, Endpoint]
    timeout: float
    unexamined: list[str] = field(default_factory=list)

    def ask(self, path: str, token: str | None = None) -> Answer:
        return ask(self.interfaces[path], "GET", path, token=token, timeout=self.timeout)

    def ask_management(self) -> Answer | None:
        answer = self.ask("/models")
        if answer.kind == NO_TOKEN or _read_names(answer) is not None:
            return answer
        where = self.interfaces["/models"]
        self.unexamined.append(f"management: {where} does not answer: use --management")
        return None

    def ask_version(self) -> str:
        """Return the version that the description of the API gives; it asks for no token."""
        answer = ask(self.interfaces["/ping"], "OPTIONS", "/", timeout=self.timeout)
        with suppress(LookupError, TypeError):
            info = answer.json["info"]
            return str(info["version"]) if "TorchServe" in info["title"] else ""
        return ""

    def check_certificate(self, authorities: Path | None) -> Certificate | None:
        if self.interfaces["/ping"].scheme == "http":
            return None
        try:
            return check_certificate(self.interfaces["/ping"], authorities, self.timeout)
        except OSError as error:
            self.unexamined.append(f"certificate: {error.strerror or error}")
            return None

    def find_limit(self) -> int | None:
        limit = find_request_limit(self.interfaces["/ping"], self.timeout)
        if limit is None:
            self.unexamined.append("max_request_size: no answer to Expect: 100-continue")
        return limit

    def find_outside(self) -> dict[str, Endpoint]:
        """Return what of a server on loopback answers under another address too, by path."""
        own = find_own_address()
        if not is_loopback(self.interfaces["/ping"].host) or own is None:
            return {}
        there = {path: each.beside(each.port, own) for path, each in self.interfaces.items()}
        asker = _Asker(there, min(self.timeout, 2.0))
        return {path: each for path, each in there.items() if asker.ask(path).status}

    def ask_models(self, keys: Keys, given: Iterable[str]) -> list[Model]:
        """Ask the models that are given, and those that management lists."""
        answer = self.ask("/models", keys.management)
        if answer.kind == NO_TOKEN:
            lacking = "workers: management asks for its token: use --token-file key_file.json"
            self.unexamined.append(lacking)
        listed = _read_names(answer) or []
        names = list(dict.fromkeys([*listed, *given]))
        if not names:
            what = "models: none is known: use --models, or --management with --token-file"
            self.unexamined.append(what)

        def _ask_one(name: str) -> Answer:
            path, inference = f"/predictions/{quote(name, safe='')}", self.interfaces["/ping"]
            return ask(inference, "POST", path, token=keys.inference, timeout=self.timeout)

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(_ask_one, names))
        looks = self._look_at_workers(listed, keys.management)
        return [
            Model(name, answer, tuple(looks.get(name, ())))
            for name, answer in zip(names, answers, strict=True)
        ]

    def _look_at_workers(self, names: list[str], key: str | None) -> dict[str, list[Look]]:
        """Return what management says of the workers of each model, at several times."""
        looks: dict[str, list[Look]] = {name: [] for name in names}
        management, timeout = self.interfaces["/models"], self.timeout
        for number in range(_LOOKS if names else 0):
            time.sleep(_PAUSE if number else 0)
            for name in names:
                workers = ask_workers(management, quote(name, safe=""), token=key, timeout=timeout)
                if workers is not None:
                    looks[name].append(tuple(workers))
        return looks


def _read_names(answer: Answer) -> list[str] | None:
    """Return the models that management lists; ``None`` if it is not management's answer."""
    with suppress(LookupError, TypeError):
        return [each["modelName"] for each in answer.json["models"]]
    return None
