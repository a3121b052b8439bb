"""Checks of the archives that a server is to load."""

from __future__ import annotations

from collections.abc import Iterator

from eisen_deploy.serving.doctor.facts.gathering import Facts
from eisen_deploy.serving.doctor.facts.model_store import StoredArchive
from eisen_deploy.serving.doctor.findings import WARNING, Area, Found
from eisen_deploy.serving.engines.options import Options
from eisen_deploy.serving.runtime.torchserve.server_config import STOCK_TIMEOUT

AREA: Area[Facts] = Area()


@AREA.error(
    "TorchServe does not find it, and goes on without it.",
    "cp {name} {store}/  (or --models with names of files that are in {store})",
)
def archive_missing(facts: Facts) -> Iterator[Found]:
    """Find a name in ``load_models`` or ``--models`` that the model store does not have."""
    for name in facts.missing:
        yield Found(f"{name} is not in {facts.store}", name=name, store=facts.store)


@AREA.error(
    "The handler refuses it, or TorchServe cannot unpack it: the model never loads.",
    "eisen-pack verify {path}  (then pack or copy it again)",
)
def archive_damaged(facts: Facts) -> Iterator[Found]:
    """Find an archive whose structure or digests are not those that were packed."""
    for archive in facts.archives:
        for problem in archive.problems:
            yield Found(f"{archive.path.name}: {problem}", path=archive.path)


@AREA.error(
    "TorchServe loads the first one; the other is refused as already registered.",
    "--models one={first} two={second}  (or pack one under another name)",
)
def archives_alike(facts: Facts) -> Iterator[Found]:
    """Find two archives with one name and version; a warning where only the names are one."""
    seen: dict[str, list[StoredArchive]] = {}
    for archive in facts.archives:
        for other in seen.setdefault(archive.name, []):
            same = other.version == archive.version
            versions = f"version{'' if same else f's {other.version} and'} {archive.version}"
            first, second = other.path.name, archive.path.name
            what = f"{first} and {second} are both {archive.name}, {versions}"
            yield Found(what, severity=None if same else WARNING, first=first, second=second)
        seen[archive.name].append(archive)


@AREA.warning(
    "Its model-config.yaml does not say it: TorchServe takes 120 s, and not the server's value.",
    "serving={{'{word}_timeout': {value}}} when {name} is packed",
)
def archive_hides_timeout(facts: Facts) -> Iterator[Found]:
    """Find an archive with options but without a timeout that was chosen for the server."""
    for word in ("response", "startup"):
        value = facts.properties.number(f"default_{word}_timeout")
        if value in (STOCK_TIMEOUT, getattr(Options, f"{word}_timeout")):
            continue  # TorchServe's default, or the one that eisen-serve writes: nobody chose it
        for archive in facts.archives:
            hides = archive.options is not None and f"{word}Timeout" not in archive.options
            if hides:
                what = f"{archive.path.name}: {word} timeout 120 s, the server's is {value} s"
                yield Found(what, word=word, value=value, name=archive.name)


@AREA.error(
    "The model is refused: it asks for a GPU and the server assigns none.",
    "serving={{'device': 'auto'}} when {name} is packed  (or number_of_gpu=1, if there is one)",
)
def gpu_missing(facts: Facts) -> Iterator[Found]:
    """Find an archive that asks for a GPU where there is none; a warning where others packed it."""
    for archive in facts.archives:
        if (archive.options or {}).get("deviceType") == "gpu" and facts.gpus == 0:
            severity = None if archive.is_ours else WARNING
            yield Found(f"{archive.path.name}: no GPU", severity=severity, name=archive.name)
