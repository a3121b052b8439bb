"""The folder that archives are put into: what is staged there, and what is moved into place there.

The staging folder lies inside the destination, so that the finished archive moves within one file
system. Whatever happens before that move leaves the target path as it was.

A process that is killed leaves its staging folder behind, and whoever packs next into the same
destination removes it. Such a folder is known by its name, which ends in a checksum of itself; and
its maker is known to be gone, since it would hold a lock on the folder. Where nothing can be
locked, on Windows and on some network file systems, staging folders get other names, and only
their makers remove them.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ._errors import ArchiveExists

if sys.platform != "win32":
    import fcntl

STAGING_PREFIX = ".eisen-pack-"

_TRIES = 4
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1


@contextmanager
def staging_folder(destination: Path) -> Iterator[Path]:
    """Make a folder that only this user can enter, and remove it in any event.

    Before that, what packers that were killed have left in the destination is removed.
    """
    _sweep(destination)
    with ExitStack() as stack:
        folder = _make_folder(destination, stack)
        stack.callback(_remove, folder)
        yield folder


def move_into_place(archive: Path, target: Path, *, overwrite: bool) -> None:
    """Give a finished archive its name, in one step that either happens or does not.

    :raises ArchiveExists: if the target is there and may not be overwritten.
    """
    if overwrite:
        archive.replace(target)
    else:
        _move_if_free(archive, target)
    _sync_folder(target.parent)


def check_free(target: Path) -> None:
    """Check that there is nothing at a path, not even a dangling link.

    :raises ArchiveExists: if there is.
    """
    if os.path.lexists(target):
        raise _make_exists_error(target)


def _make_folder(destination: Path, stack: ExitStack) -> Path:
    """Make a staging folder and lock it; the stack unlocks it in the end."""
    for _ in range(_TRIES):
        folder = destination / _name_for(secrets.token_hex(8))
        folder.mkdir(mode=0o700)
        try:
            stack.enter_context(_locked(folder))
        except OSError:  # somebody swept it before it was locked, or nothing can be locked here
            with suppress(OSError):
                folder.rmdir()
        else:
            return folder
    return Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=destination))


def _name_for(token: str) -> str:
    """Return the name of a staging folder.

    :param token: 16 random hexadecimal digits.
    """
    return STAGING_PREFIX + token + hashlib.sha256(token.encode()).hexdigest()[:8]


def _is_name(name: str) -> bool:
    return name == _name_for(name[-24:-8])


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a staging folder; the system lets go of it when its holder dies.

    :raises OSError: if another holds it, it has gone, it is not a folder, or nothing can be locked.
    """
    if sys.platform == "win32":
        raise OSError(errno.ENOTSUP, "folders cannot be locked here")
    else:  # type checkers read no further on Windows
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(descriptor), folder.lstat()):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
            yield
        finally:
            with suppress(OSError):
                os.close(descriptor)


def _sweep(destination: Path) -> None:
    """Remove the staging folders of packers that are dead; an error here stops nobody."""
    with suppress(OSError), os.scandir(destination) as entries:
        for entry in entries:
            with suppress(OSError):
                if _is_staging(entry):
                    with _locked(Path(entry)):
                        _remove(Path(entry))


def _is_staging(entry: os.DirEntry[str]) -> bool:
    """Whether something is a staging folder of this user whose lock shows its state."""
    return (
        sys.platform != "win32"
        and _is_name(entry.name)
        and entry.is_dir(follow_symlinks=False)
        and entry.stat(follow_symlinks=False).st_uid == os.geteuid()
    )


def _remove(folder: Path) -> None:
    with suppress(OSError):  # rmtree lets errors of closing through
        shutil.rmtree(folder, ignore_errors=True)


def _move_if_free(archive: Path, target: Path) -> None:
    """Move an archive, unless there is something at its target, also if it appears meanwhile."""
    try:
        os.link(archive, target)
    except FileExistsError:
        raise _make_exists_error(target) from None
    except OSError:  # a file system without hard links
        number = _rename_noreplace(archive, target)
        if number == errno.EEXIST:
            raise _make_exists_error(target) from None
        if number:
            check_free(target)
            archive.rename(target)  # here alone a racing writer can be lost


def _rename_noreplace(archive: Path, target: Path) -> int:
    """Rename by a call of Linux that Python does not offer; return 0 or the number of its error."""
    library = ctypes.CDLL(None, use_errno=True) if sys.platform.startswith("linux") else None
    rename = getattr(library, "renameat2", None)
    if rename is None:
        return errno.ENOSYS
    names = os.fsencode(archive), os.fsencode(target)
    failed = rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_NOREPLACE)
    return ctypes.get_errno() if failed else 0


def _sync_folder(folder: Path) -> None:
    """Bring a new name onto the disk; not every system opens folders, and the name stands."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _make_exists_error(target: Path) -> ArchiveExists:
    return ArchiveExists(
        f"{target} exists: to replace it, pass overwrite=True, or --overwrite to eisen-pack build"
    )
