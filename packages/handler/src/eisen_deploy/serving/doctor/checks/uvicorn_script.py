"""Checks of a script that starts uvicorn."""

from __future__ import annotations

from collections.abc import Iterator

from eisen_deploy.serving.doctor.facts.uvicorn_script import UvicornScript
from eisen_deploy.serving.doctor.findings import WARNING, Area, Found
from eisen_deploy.serving.engines import preflight
from eisen_deploy.serving.engines.machine import share_for_bodies
from eisen_deploy.serving.engines.uvicorn.engine import count_workers

from . import application, surroundings

AREA: Area[UvicornScript] = Area()
# Without it everything works, only slower.
_FASTER = "uvloop"


@AREA.error("eisen-serve run refuses to start with it.", "correct the option that is named")
def script_refused(script: UvicornScript) -> Iterator[Found]:
    """Find options that make no sense: a certificate without its key, or one that is no file."""
    for problem in preflight.find_problems(script.options, insecure=True):
        yield Found(problem)


@AREA.same_as(application.AREA, "application-open")
def script_open(script: UvicornScript) -> Iterator[Found]:
    """Find an address on the network without tokens."""
    if script.options.is_reachable and not script.options.token_auth:
        yield Found(f"--host {script.options.host} without --token-auth")


@AREA.same_as(application.AREA, "application-clear-text")
def script_clear_text(script: UvicornScript) -> Iterator[Found]:
    """Find an address on the network without TLS."""
    if script.options.is_reachable and script.options.tls_cert is None:
        yield Found(f"--host {script.options.host} without --tls-cert")


@AREA.error(
    "No worker starts; without uvloop alone each request takes longer.",
    "{python} -m pip install 'eisen-deploy-handler[uvicorn]' torch",
)
def script_package_missing(script: UvicornScript) -> Iterator[Found]:
    """Find a package that a worker needs and Python lacks; a warning for uvloop."""
    if script.python is not None:
        for name, version in script.python.distributions.items():
            if version is None:
                severity = WARNING if name == _FASTER else None
                yield Found(f"no {name}", severity=severity, python=script.python.path)


@AREA.error(
    "eisen-serve run refuses it, and nothing is served.",
    "eisen-pack verify FILE  (then pack or copy it again)",
)
def script_archive_damaged(script: UvicornScript) -> Iterator[Found]:
    """Find an archive that is missing, or whose digests are not those that were packed."""
    for problem in script.damaged:
        yield Found(problem)


@AREA.error("The server cannot be started so.", "--max-body {bytes}")
def script_limit_too_small(script: UvicornScript) -> Iterator[Found]:
    """Find ``--max-body`` below the archive's own sample."""
    for archive in script.archives:
        size = 0 if archive.sample is None else len(archive.sample[0])
        if size > script.options.max_body:
            what = f"the sample of {archive.name} has {size} bytes, --max-body is "
            yield Found(f"{what}{script.options.max_body}", bytes=1 << size.bit_length())


@AREA.warning(
    "A body of that size fills what a worker has for all: others get 503 meanwhile, and wait.",
    "--workers 1, a smaller --max-body, or a machine with more memory",
)
def script_bodies_exceed_memory(script: UvicornScript) -> Iterator[Found]:
    """Find ``--max-body`` above a worker's share of the memory for bodies."""
    for archive in script.archives:
        workers = count_workers(archive, script.options, script.machine.gpus)
        share = share_for_bodies(workers)
        if script.options.max_body > share:
            what = f"each of {workers} workers has {share} bytes for bodies"
            yield Found(f"{what}, --max-body is {script.options.max_body}")


@AREA.warning(
    "Workers take the cores from each other, and each has a copy of the model.",
    "--workers {cores}",
)
def script_workers_exceed_cores(script: UvicornScript) -> Iterator[Found]:
    """Find more workers than cores."""
    for archive in script.archives:
        workers = count_workers(archive, script.options, script.machine.gpus)
        if workers > script.machine.cores:
            what = f"{archive.name}: {workers} workers, {script.machine.cores} cores"
            yield Found(what, cores=script.machine.cores)


@AREA.same_as(surroundings.AREA, "open-files-few")
def script_open_files_few(script: UvicornScript) -> Iterator[Found]:
    """Find a hard limit of less than 4096 open files; each worker raises its own up to it."""
    yield from surroundings.find_few_open_files(script.open_files)
