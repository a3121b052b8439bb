"""The archive on this node: fetched once, kept by its digest, and unpacked for each process."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from eisen_deploy.serving.runtime._shared.archive import reader, zips
from eisen_deploy.serving.runtime._shared.errors import ContractError
from eisen_deploy.serving.runtime.errors import LoadFailed

_PIECE = 2**22


def fetch(source: str, digest: str | None, cache: Path) -> Path:
    """Return the path of a verified private copy of an archive.

    :param source: a path, or an address that fsspec reads.
    :param digest: that it has to have; ``None`` for any.
    :raises LoadFailed: if it cannot be read, is damaged, or has another digest.
    """
    cache = cache.expanduser()
    kept = None if digest is None else cache / f"{digest}.mar"
    if kept is not None and kept.exists():
        _verify(kept, digest, source)
        return kept
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=cache, suffix=".part", delete=False) as part:
        path = Path(part.name)
    try:
        _copy(source, path)
        found = _verify(path, digest, source)
        kept = cache / f"{found}.mar"
        path.replace(kept)
    finally:
        path.unlink(missing_ok=True)
    return kept


def unpack(archive: Path) -> Path:
    """Return a new folder with what is in an archive; it is this process's own."""
    folder = Path(tempfile.mkdtemp(prefix="eisen-serve-"))
    try:
        zips.unpack(archive, folder)
    except (ContractError, OSError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise LoadFailed(f"{archive}: {error}") from None
    return folder


def _copy(source: str, target: Path) -> None:
    try:
        if "://" in source:
            import fsspec  # noqa: PLC0415 - for addresses only

            opened = fsspec.open(source, "rb")
        else:
            opened = Path(source).open("rb")  # noqa: SIM115
        with opened as reading, target.open("wb") as writing:
            shutil.copyfileobj(reading, writing, _PIECE)
    except ImportError as error:
        raise LoadFailed(f"{source}: {error}") from None
    except Exception as error:  # noqa: BLE001 - each file system of fsspec has errors of its own
        raise LoadFailed(f"{source} cannot be read: {type(error).__name__}: {error}") from None


def _verify(path: Path, digest: str | None, source: str) -> str:
    try:
        found = reader.verify(path).about.digest
    except ContractError as error:
        raise LoadFailed("; ".join(f"{source}: {each}" for each in error.problems)) from None
    if digest not in (None, found):
        raise LoadFailed(f"{source}: expected the archive with digest {digest}, got {found}")
    return found
