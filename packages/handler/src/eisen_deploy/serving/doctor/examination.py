"""The two examinations: of a configuration, and of a running server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eisen_deploy.serving.runtime._shared.terminal import size

from . import (
    access_checks,
    archive_checks,
    capacity_checks,
    environment_checks,
    file_checks,
    live_checks,
    server,
)
from .facts import Facts, gather
from .findings import Area, Report

#: The checks by what is examined, in the order in which they run.
AREAS: dict[str, tuple[Area[Any], ...]] = {
    "configuration": (
        file_checks.AREA,
        access_checks.AREA,
        capacity_checks.AREA,
        environment_checks.AREA,
        archive_checks.AREA,
    ),
    "server": (live_checks.AREA,),
}


def examine_configuration(
    target: Path, *, environment: Mapping[str, str] | None = None, **options: Any
) -> Report:
    """Examine a configuration and what its server would find.

    :param target: a file, which the server is given by ``--ts-config``; or a folder, in which it is
        started without that option.
    :param environment: of the server; by default that of this process.
    :param options: those of :func:`.facts.gather`.
    """
    report = Report(str(target))
    variables = os.environ if environment is None else environment
    try:
        facts, report.unexamined = gather(target, variables, **options)
    except OSError as error:
        report.unexamined.append(f"{error.filename or target}: {error.strerror}")
        report.examined = False
        return report
    report.facts = _told(facts)
    for area in AREAS["configuration"]:
        report.run(area, facts)
    report.sort()
    return report


def examine_server(url: str, **options: Any) -> Report:
    """Examine a running server by asking it.

    :param url: of inference, ``http://host:8080``.
    :param options: those of :func:`.server.look_at`.
    :raises ValueError: if an address is none.
    """
    report = Report(url)
    seen, report.unexamined = server.look_at(url, **options)
    report.examined = seen.is_torchserve
    report.facts = _seen(seen)
    for area in AREAS["server"]:
        report.run(area, seen)
    report.sort()
    return report


def _told(facts: Facts) -> list[tuple[str, str]]:
    configuration, python = facts.configuration, facts.python
    told = [("file", str(configuration.path or "none"))]
    told += [(each.name.removesuffix("_address"), str(each)) for each in configuration.addresses()]
    told.append(("request up to", size(configuration.number("max_request_size"))))
    told.append(("reply up to", size(configuration.number("max_response_size"))))
    told.append(("heap", size(facts.heap)))
    told.append(("machine", f"{facts.machine.cores} cores, {size(facts.machine.memory)}"))
    if python is not None:
        torchserve = python.distributions["torchserve"] or "none"
        told.append(("python", f"{python.version}, torchserve {torchserve}"))
    told.append(("java", str(facts.java.release or "none")))
    told += [
        ("archive", f"{each.path.name}: {each.name} {each.version}, {size(each.size)}")
        for each in facts.archives
    ]
    return told


def _seen(seen: server.Server) -> list[tuple[str, str]]:
    if not seen.is_torchserve:
        return []
    told = [("server", f"TorchServe {seen.version or 'of an unknown release'}")]
    told.append(("tokens", "on" if seen.has_tokens else "off"))
    if seen.limit is not None:
        told.append(("request up to", f"{seen.limit} bytes ({size(seen.limit)})"))
    for model in seen.models:
        workers = f"{model.ready} of {len(model.looks[-1])} workers ready" if model.looks else ""
        answers = "answers" if model.answer.status == 200 else "does not answer"
        told.append(("model", ", ".join(filter(None, [model.name, workers, answers]))))
    return told
