"""Verified archives and options -> everything that the files say, as typed values."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path, PurePosixPath

from eisen_deploy.serving.engines.options import GIB, Options
from eisen_deploy.serving.engines.preflight import refuse
from eisen_deploy.serving.engines.ray import serve_config
from eisen_deploy.serving.engines.served_archives import ServedArchive
from eisen_deploy.serving.runtime._shared.archive import reader
from eisen_deploy.serving.runtime._shared.archive.description import Description

from .names import image_problem, label_problem, make_label, storage_problem
from .quoting import Plain, escape_variables

#: The folder in an image in which archives lie, and into which KServe fetches them.
MODELS = PurePosixPath("/mnt/models")
#: Where the token is mounted.
TOKEN = PurePosixPath("/run/secrets/eisen-deploy/token")
PORT = 8080
#: The user in the image; the number has no other meaning.
USER = 10001
# On which KubeRay expects HTTP.
_RAY_PORT = 8000
#: The version of Ray whose image is built on.
RAY = "2.60.0"

# Seconds: until no more requests come in after a pod is to end; for the end of the processes after
# the last answer; without a sign of life after which eisen-serve ends a worker.
_DRAIN, _END, _SILENCE = 5, 25, 60
_PERIOD = 10
# Bytes of a process that has imported torch; and for each byte of a model on the way into memory.
_TORCH, _MODEL = GIB, 2
# A quarter of the memory is for bodies.
_BODIES = 4

_PYTHON = re.compile(r"(\d+\.\d+)\.\d+[A-Za-z0-9.+]*", re.ASCII)
_RELEASE = re.compile(r"(\d+(?:\.\d+)*(?:(?:a|b|rc)\d+)?)(?:\+[A-Za-z0-9.]+)?", re.ASCII)
_DISTRIBUTION = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Choices:
    """What the person who deploys decides beside the server's options.

    :param label: what the objects are called; ``None``: as the model.
    :param image: name of the image; ``None``: from name and version of the first model.
    :param storage: from where KServe fetches the archive; ``None``: it is in the image.
    :param python: interpreter of the environment that the systemd unit uses.
    """

    label: str | None = None
    image: str | None = None
    storage: str | None = None
    python: str = "/usr/bin/python3"


@dataclass(frozen=True)
class Model:
    """One archive, and how it is run.

    :param label: what its objects are called.
    :param unit: name of its systemd unit; ``port`` is that on which the unit listens.
    :param file: its name in the image.
    :param gpus: that it needs; ``may_use_gpu``: whether it runs on one that is there.
    :param memory: estimated, in GiB.
    """

    label: str
    name: str
    version: str
    digest: str
    path: Path
    copy: Path
    unit: str
    port: int
    file: str
    workers: int
    cpus: int
    gpus: int
    may_use_gpu: bool
    memory: int
    response_timeout: int
    startup_timeout: int

    @property
    def source(self) -> str:
        """Where it lies in the image."""
        return str(MODELS / self.file)

    @property
    def grace(self) -> int:
        """Seconds from being asked to end to having ended."""
        return self.response_timeout + _DRAIN + _END

    @property
    def drain(self) -> int:
        """Seconds until nobody sends requests any more to a pod that is to end."""
        return _DRAIN

    @property
    def period(self) -> int:
        """Seconds between two probes."""
        return _PERIOD

    @property
    def startup_probes(self) -> int:
        """Probes in the time that the model has to load."""
        return math.ceil(self.startup_timeout / _PERIOD)

    @property
    def liveness_probes(self) -> int:
        """Probes in the time that eisen-serve has to replace a worker by itself."""
        return math.ceil((_SILENCE + self.startup_timeout) / _PERIOD)


@dataclass(frozen=True)
class Plan:
    """Everything that the files say.

    :param requirements: of all archives, as pip reads them.
    :param pins: ``torch`` and ``numpy`` as the archives were packed with them.
    :param python: minor version of Python.
    :param release: of ``eisen-deploy-handler``.
    :param serve_config: all models on Ray Serve.
    """

    models: tuple[Model, ...]
    image: str
    storage: str | None
    requirements: tuple[str, ...]
    pins: tuple[str, ...]
    python: str
    release: str
    max_body: int
    token: str | None
    serve_config: str
    program: tuple[str, ...]
    ray: str = RAY
    user: int = USER
    port: int = PORT
    folder: str = str(MODELS)

    @property
    def entry_point(self) -> list[str]:
        """The command of the image, before its arguments."""
        listen = ["--host", "0.0.0.0", "--port", str(PORT)]  # noqa: S104 - of a container
        return ["eisen-serve", "run", "--engine", "uvicorn", *listen]

    @property
    def title(self) -> str:
        """What is called so for all models together."""
        return self.models[0].label

    @property
    def summary(self) -> str:
        """All models with their versions, for people."""
        return ", ".join(f"{model.name} {model.version}" for model in self.models)

    @property
    def token_folder(self) -> str:
        """Where the secret with the token is mounted."""
        return str(TOKEN.parent)

    @property
    def cpus(self) -> int:
        """Cores for all models together."""
        return sum(model.workers * model.cpus for model in self.models)

    def arguments(self, model: Model, source: str, token: str | None) -> list[str]:
        """Return the arguments with which a model is served.

        :param source: the archive, or the folder that it is in.
        :param token: the file with the token.
        """
        access = ["--insecure"] if token is None else ["--token-file", token]
        return [
            *(source, "--workers", str(model.workers), "--max-body", str(self.max_body)),
            *("--response-timeout", str(model.response_timeout)),
            *("--startup-timeout", str(model.startup_timeout)),
            *access,
        ]

    def container_arguments(self, model: Model, source: str) -> list[str]:
        """Return the same for a container in Kubernetes."""
        return escape_variables(self.arguments(model, source, self.token))


def make_plan(found: Sequence[ServedArchive], options: Options, choices: Choices) -> Plan:
    """Return everything that the files say.

    :param found: archives with a verified copy.
    :raises Refused: with each thing that some file cannot say.
    """
    about = [_describe(archive) for archive in found]
    models = tuple(_plan_models(found, options, choices))
    image = choices.image or f"eisen-deploy/{models[0].label}:{models[0].version}"
    pinned = [dict(_find_pins(each)) for each in about]
    refuse(
        [
            *_find_problems(models, choices, image),
            *_find_differences(about, pinned),
        ]
    )
    return Plan(
        models=models,
        image=image,
        storage=choices.storage,
        requirements=tuple(sorted({line for each in about for line in each.requirements})),
        pins=tuple(f"{name}=={release}" for name, release in pinned[0].items() if name != "python"),
        python=pinned[0].get("python", "3.11"),
        release=version("eisen-deploy-handler"),
        max_body=options.max_body,
        token=str(TOKEN) if options.token_auth else None,
        serve_config=_render_serve_config(found, options),
        program=(choices.python, "-m", "eisen_deploy.serving.cli", "run"),
    )


def _render_serve_config(found: Sequence[ServedArchive], options: Options) -> str:
    """Return the configuration for Ray in a container, where each address is its own."""
    inside = [replace(each, path=Path(MODELS / each.store_name)) for each in found]
    reached = replace(options, host="0.0.0.0", port=_RAY_PORT)  # noqa: S104 - of a container
    return Plain(serve_config.render(inside, reached, 0, token_file=str(TOKEN)))


def _describe(archive: ServedArchive) -> Description:
    assert archive.copy is not None  # noqa: S101 - by who calls
    return reader.read(archive.copy).about


def _plan_models(
    found: Sequence[ServedArchive], options: Options, choices: Choices
) -> Iterator[Model]:
    for index, archive in enumerate(found):
        yield _plan_model(archive, options, choices, index, alone=len(found) == 1)


def _plan_model(
    archive: ServedArchive, options: Options, choices: Choices, index: int, *, alone: bool
) -> Model:
    assert archive.copy is not None  # noqa: S101 - by who calls
    serving, label = (
        archive.serving,
        choices.label or make_label(archive.url_part.replace("/", "-")),
    )
    workers = serving.workers or options.workers or 1
    bodies = _BODIES * workers * options.max_body
    memory = workers * (_TORCH + _MODEL * archive.copy.stat().st_size) + bodies
    return Model(
        label=label,
        name=archive.name,
        version=archive.version,
        digest=archive.digest,
        path=archive.path.absolute(),
        copy=archive.copy,
        unit="eisen-serve.service" if alone else f"eisen-serve-{label}.service",
        port=PORT + index,
        file=archive.store_name,
        workers=workers,
        cpus=serving.threads or 1,
        gpus=workers if serving.device == "cuda" else 0,
        may_use_gpu=serving.device != "cpu",
        memory=math.ceil(memory / GIB),
        response_timeout=serving.response_timeout or options.response_timeout,
        startup_timeout=max(serving.startup_timeout or 0, options.startup_timeout),
    )


def _find_problems(models: Sequence[Model], choices: Choices, image: str) -> Iterator[str]:
    """Yield what is wrong with the names."""
    for model in models:
        if (problem := label_problem(model.label)) is not None:
            yield f"{model.name}: its name in Kubernetes, {problem}: --name gives it another one"
    labels = [model.label for model in models]
    if len(set(labels)) < len(labels):
        yield f"two models have the same name in Kubernetes, got {labels}: export them one by one"
    if not choices.python.isprintable() or any(each in choices.python for each in "\"'\\"):
        yield f"--python {choices.python!r}: systemd starts no program with such a path"
    if (problem := image_problem(image)) is not None:
        yield f"--image: {problem}"
    if choices.storage is not None and (problem := storage_problem(choices.storage)) is not None:
        yield f"--storage-uri: {problem}"
    for option, given in (("--name", choices.label), ("--storage-uri", choices.storage)):
        if given is not None and len(models) > 1:
            yield f"{option} is for one archive, got {len(models)}: export them one by one"


def _find_pins(about: Description) -> Iterator[tuple[str, str]]:
    """Yield what the image installs in the version with which an archive was packed."""
    for name, pattern in (("python", _PYTHON), ("torch", _RELEASE), ("numpy", _RELEASE)):
        if (found := pattern.fullmatch(str(about.packed_with.get(name, "")))) is not None:
            yield name, found[1]


def _find_differences(
    about: Sequence[Description], pinned: Sequence[Mapping[str, str]]
) -> Iterator[str]:
    """Yield what keeps archives from being in one image."""
    for name in ("python", "torch", "numpy"):
        releases = sorted({each.get(name, "unknown") for each in pinned})
        if len(releases) > 1:
            yield f"the archives were packed with {name} {' and '.join(releases)}: one image each"
    lines: dict[str, str] = {}
    for line in (line for each in about for line in each.requirements):
        found = _DISTRIBUTION.match(line)
        name = re.sub(r"[._-]+", "-", found[0].lower()) if found else line
        if lines.setdefault(name, line) != line:
            yield f"the archives require {lines[name]} and {line}: one image each"
