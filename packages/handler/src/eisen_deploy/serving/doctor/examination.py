"""The examinations, each a line: find out the facts, run the checks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from eisen_deploy.serving.engines.machine import OpenFiles
from eisen_deploy.serving.engines.options import Options
from eisen_deploy.serving.runtime._shared.command.terminal import format_size

from .checks import APPLICATION_AREAS, CONFIGURATION_AREAS, SCRIPT_AREAS, SERVER_AREAS
from .facts.application import Application, ask_application, is_application
from .facts.gathering import Facts, gather_facts
from .facts.running_server import RunningServer, ask_server
from .facts.uvicorn_script import UvicornScript, gather_script
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


def examine_script(target: Path, options: Options, archives: list[Path], python: str) -> Report:
    """Examine a script that starts uvicorn, and what its server would find.

    :param options: those that the script gives, as ``archives`` and ``python``.
    """
    report = Report(str(target))
    script, report.unexamined = gather_script(target, options, archives, python, os.environ)
    report.facts = list(_summarize_script(script))
    report.run(SCRIPT_AREAS, script)
    return report


def examine_server(
    url: str,
    *,
    management: str | None = None,
    metrics: str | None = None,
    timeout: float = 5.0,
    **options: Any,
) -> Report:
    """Examine a running server by asking it.

    :param url: of inference, ``http://host:8080``.
    :param management: the other addresses of a TorchServe, likewise ``metrics``.
    :param options: those of :func:`.running_server.ask_server`.
    :raises ValueError: if an address is invalid.
    """
    report = Report(url)
    if is_application(url, timeout):
        application, report.unexamined = ask_application(url, timeout=timeout, **options)
        report.facts = list(_summarize_application(application))
        report.run(APPLICATION_AREAS, application)
        return report
    options = {**options, "management": management, "metrics": metrics, "timeout": timeout}
    server, report.unexamined = ask_server(url, **options)
    report.examined = server.is_torchserve
    report.facts = list(_summarize_server(server)) if server.is_torchserve else []
    report.run(SERVER_AREAS, server)
    return report


def _summarize_script(script: UvicornScript) -> Iterator[tuple[str, str]]:
    options, python = script.options, script.python
    yield "file", str(script.path)
    yield "address", options.url
    yield "tokens", "on" if options.token_auth else "off"
    yield "request up to", format_size(options.max_body)
    yield "machine", f"{script.machine.cores} cores, {format_size(script.machine.memory)}"
    yield "open files", _describe_open_files(script.open_files)
    if python is not None:
        found = [f"{name} {version or 'none'}" for name, version in python.distributions.items()]
        yield "python", ", ".join([python.version, *found])
    for each in script.archives:
        yield "archive", f"{each.path.name}: {each.name} {each.version}"


def _summarize_application(server: Application) -> Iterator[tuple[str, str]]:
    found = [f"{name} {version or 'none'}" for name, version in server.libraries.items()]
    yield "server", ", ".join(["Eisen-Deploy's application", *found])
    yield "tokens", "on" if server.has_tokens else "off"
    yield "TLS", "on" if server.endpoint.scheme == "https" else "off"
    yield "ready", "yes" if server.ready.status == 200 else "no"
    if server.limit is not None:
        yield "request up to", f"{server.limit} bytes ({format_size(server.limit)})"
    for name, answer in server.models.items():
        yield "model", f"{name}, {'answers' if answer.status == 200 else 'does not answer'}"


def _summarize(facts: Facts) -> Iterator[tuple[str, str]]:
    own, python = facts.properties, facts.python
    yield "file", str(own.path or "none")
    for address in own.addresses.values():
        yield address.name.removesuffix("_address"), str(address)
    yield "request up to", format_size(own.number("max_request_size"))
    yield "reply up to", format_size(own.number("max_response_size"))
    yield "heap", format_size(facts.heap)
    yield "machine", f"{facts.machine.cores} cores, {format_size(facts.machine.memory)}"
    yield "open files", _describe_open_files(facts.open_files)
    if python is not None:
        torchserve = python.distributions["torchserve"] or "none"
        yield "python", f"{python.version}, torchserve {torchserve}"
    yield "java", str(facts.java.release or "none")
    for each in facts.archives:
        yield "archive", f"{each.path.name}: {each.name} {each.version}, {format_size(each.size)}"


def _describe_open_files(limits: OpenFiles) -> str:
    if limits.soft == limits.hard:
        return f"up to {limits.hard}"
    return f"up to {limits.hard}: the server raises its limit from {limits.soft} when it starts"


def _summarize_server(server: RunningServer) -> Iterator[tuple[str, str]]:
    yield "server", f"TorchServe {server.version or 'of an unknown release'}"
    yield "tokens", "on" if server.has_tokens else "off"
    if server.limit is not None:
        yield "request up to", f"{server.limit} bytes ({format_size(server.limit)})"
    for model in server.models:
        workers = f"{model.ready} of {len(model.looks[-1])} workers ready" if model.looks else ""
        answers = "answers" if model.answer.status == 200 else "does not answer"
        yield "model", ", ".join(filter(None, [model.name, workers, answers]))
