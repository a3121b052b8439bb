"""Checks of the archives that a server is to load."""

from __future__ import annotations

from collections.abc import Iterator

from .facts import Facts
from .findings import ERROR, WARNING, Area, Found

AREA: Area[Facts] = Area()


@AREA.check(
    ERROR,
    effect="TorchServe does not find it, and goes on without it.",
    remedy="cp {name} {store}/  (or --models with names of files that are in {store})",
)
def archive_missing(facts: Facts) -> Iterator[Found]:
    """Find a name in ``load_models`` or ``--models`` that the model store does not have."""
    for name in facts.missing:
        yield Found(f"{name} is not in {facts.store}", name=name, store=facts.store)


@AREA.check(
    ERROR,
    effect="The handler refuses it, or TorchServe cannot unpack it: the model never loads.",
    remedy="eisen-pack verify {path}  (then pack or copy it again)",
)
def archive_damaged(facts: Facts) -> Iterator[Found]:
    """Find an archive whose structure or digests are not those that were packed."""
    for archive in facts.archives:
        for problem in archive.problems:
            yield Found(f"{archive.path.name}: {problem}", path=archive.path)


@AREA.check(
    ERROR,
    effect="TorchServe loads the first one; the other is refused as already registered.",
    remedy="--models one={first} two={second}  (or pack one under another name)",
)
def archives_alike(facts: Facts) -> Iterator[Found]:
    """Find two archives with one name and version.

    It is a warning where the versions differ: without a version in the URL, only one answers.
    """
    seen: dict[str, list[tuple[str, str]]] = {}
    for archive in facts.archives:
        for version, other in seen.get(archive.name, []):
            same = version == archive.version
            versions = f"version {version}" if same else f"versions {version} and {archive.version}"
            what = f"{other} and {archive.path.name} are both {archive.name}, {versions}"
            severity = None if same else WARNING
            yield Found(what, severity=severity, first=other, second=archive.path.name)
        seen.setdefault(archive.name, []).append((archive.version, archive.path.name))


@AREA.check(
    WARNING,
    effect="With a model-config.yaml that does not say it, TorchServe takes 120 s and not the "
    "server's value.",
    remedy="serving={{'{option}': {value}}} when {name} is packed",
)
def archive_hides_timeout(facts: Facts) -> Iterator[Found]:
    """Find an archive with options but without the timeout that the server sets."""
    pairs = {"default_response_timeout": "response", "default_startup_timeout": "startup"}
    for name, word in pairs.items():
        value = facts.configuration.number(name)
        for archive in facts.archives:
            hides = archive.options is not None and f"{word}Timeout" not in archive.options
            if hides and value != 120:
                what = f"{archive.path.name}: {word} timeout 120 s, the server's is {value} s"
                option = f"{word}_timeout"
                yield Found(what, option=option, value=value, name=archive.name)


@AREA.check(
    ERROR,
    effect="The model is refused: it asks for a GPU and the server assigns none.",
    remedy="serving={{'device': 'auto'}} when {name} is packed  (or number_of_gpu=1 on a machine "
    "that has one)",
)
def gpu_missing(facts: Facts) -> Iterator[Found]:
    """Find an archive that asks for a GPU where there is none.

    It is a warning for those of other packers, which fall back to the CPU.
    """
    for archive in facts.archives:
        if archive.wants_gpu and facts.gpus == 0:
            severity = WARNING if archive.about is None else None
            yield Found(f"{archive.path.name}: no GPU", severity=severity, name=archive.name)
