"""The two examinations, each a line: find out the facts, run the checks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from eisen_deploy.serving.runtime._shared.command.terminal import format_size

from .checks import CONFIGURATION_AREAS, SERVER_AREAS
from .facts.gathering import Facts, gather_facts
from .facts.running_server import RunningServer, ask_server
from .findings import Report


def examine_configuration(
    target: Path, *, environment: Mapping[str, str] | None = None, **options: Any
) -> Report:
    """Examine a configuration and what its server would find.

    :param target: a file, which the server is given by ``--ts-config``; or a folder, in which it is
        started without that option.
    :param environment: of the server; by default that of this process.
    :param options: those of :func:`.gathering.gather_facts`.
    """
    report = Report(str(target))
    variables = os.environ if environment is None else environment
    try:
        facts, report.unexamined = gather_facts(target, variables, **options)
    except OSError as error:
        report.unexamined.append(f"{error.filename or target}: {error.strerror}")
        report.examined = False
        return report
    report.facts = list(_summarize(facts))
    report.run(CONFIGURATION_AREAS, facts)
    return report


def examine_server(url: str, **options: Any) -> Report:
    """Examine a running server by asking it.

    :param url: of inference, ``http://host:8080``.
    :param options: those of :func:`.running_server.ask_server`.
    :raises ValueError: if an address is invalid.
    """
    report = Report(url)
    server, report.unexamined = ask_server(url, **options)
    report.examined = server.is_torchserve
    report.facts = list(_summarize_server(server)) if server.is_torchserve else []
    report.run(SERVER_AREAS, server)
    return report


def _summarize(facts: Facts) -> Iterator[tuple[str, str]]:
    own, python = facts.properties, facts.python
    yield "file", str(own.path or "none")
    for address in own.addresses.values():
        yield address.name.removesuffix("_address"), str(address)
    yield "request up to", format_size(own.number("max_request_size"))
    yield "reply up to", format_size(own.number("max_response_size"))
    yield "heap", format_size(facts.heap)
    yield "machine", f"{facts.machine.cores} cores, {format_size(facts.machine.memory)}"
    if python is not None:
        torchserve = python.distributions["torchserve"] or "none"
        yield "python", f"{python.version}, torchserve {torchserve}"
    yield "java", str(facts.java.release or "none")
    for each in facts.archives:
        yield "archive", f"{each.path.name}: {each.name} {each.version}, {format_size(each.size)}"


def _summarize_server(server: RunningServer) -> Iterator[tuple[str, str]]:
    yield "server", f"TorchServe {server.version or 'of an unknown release'}"
    yield "tokens", "on" if server.has_tokens else "off"
    if server.limit is not None:
        yield "request up to", f"{server.limit} bytes ({format_size(server.limit)})"
    for model in server.models:
        workers = f"{model.ready} of {len(model.looks[-1])} workers ready" if model.looks else ""
        answers = "answers" if model.answer.status == 200 else "does not answer"
        yield "model", ", ".join(filter(None, [model.name, workers, answers]))
