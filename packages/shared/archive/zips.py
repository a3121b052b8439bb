"""The archive as a zip file, in one form only.

Names, sizes and checksums of the files determine every byte around their contents::

    local header, name, zip64 field*, content      of each file, sorted by name
    central header, name, zip64 field*             of each file, in the same order
    zip64 end record and locator*, end record      (* only where a size or an offset needs it)

Whoever writes makes the headers with the three functions of :mod:`.zip_headers`. Whoever reads
takes the name, size and checksum of each file from the directory, makes all headers again with the
same functions, and compares. So whatever is in front, between, behind, doubled, overlapped, hidden,
compressed, encrypted, commented or claimed otherwise in two places is refused by one rule.

Nothing is compressed, since weights do not shrink. Sizes and checksums stand before the contents:
Java's ``ZipInputStream``, by which TorchServe unpacks, reads stored files only so.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader, BufferedWriter
from pathlib import Path
from typing import NamedTuple

from ..errors import CorruptArchive, refuse_if
from . import names, zip_headers

_PIECE = 2**20


class Entry(NamedTuple):
    """A file of an archive: POSIX path, size (bytes), CRC-32, and where its content begins."""

    name: str
    size: int
    crc32: int
    offset: int


def write(folder: Path, path: Path, *, progress: Callable[[int], None] | None = None) -> None:
    """Write all files of a folder into a new zip file, and see that it is on the disk.

    Each file is read once; its header is filled in when its checksum is known.

    :param progress: is called with the number of bytes that were just copied.
    :raises CorruptArchive: with each file whose name :func:`read` would refuse, that is not a
        regular file, or that changes meanwhile.
    :raises OSError: if the file system refuses, or something is at ``path``. What was begun there
        is left to the caller.
    """
    found = sorted(list_files(folder))
    refuse_if(names.find_problems(found))
    with path.open("xb") as target:
        directory = [_add_file(target, folder / name, name, progress) for name in found]
        position, raw = target.tell(), b"".join(directory)
        target.write(raw + zip_headers.make_end(len(found), len(raw), position))
        target.flush()
        os.fsync(target.fileno())


def list_files(folder: Path) -> Iterator[str]:
    """Yield the POSIX path of each file below a folder, and of each link, which is not followed."""
    for base, folders, files in os.walk(folder, onerror=raise_error):
        links = [name for name in folders if (Path(base) / name).is_symlink()]
        yield from ((Path(base) / name).relative_to(folder).as_posix() for name in files + links)


def raise_error(error: OSError) -> None:
    """Raise an error of :func:`os.walk`, which would leave out what it cannot list."""
    raise error


def _add_file(
    target: BufferedWriter, source: Path, name: str, progress: Callable[[int], None] | None
) -> bytes:
    """Copy a file behind its header, and return its part of the directory."""
    if not stat.S_ISREG(source.lstat().st_mode):
        raise CorruptArchive(f"{names.quote_name(name)} is not a regular file")
    position = target.tell()
    with source.open("rb") as reader:
        size = os.fstat(reader.fileno()).st_size
        target.write(zip_headers.make_local(name, size, 0))
        copied, crc32 = _copy(reader, target.write, size, progress)
        if copied != size or reader.read(1):
            raise CorruptArchive(f"{names.quote_name(name)} changed while it was packed")
    end = target.tell()
    target.seek(position)
    target.write(zip_headers.make_local(name, size, crc32))
    target.seek(end)
    return zip_headers.make_central(name, size, crc32, position)


def _copy(
    reader: BufferedReader,
    write: Callable[[memoryview], object],
    size: int,
    progress: Callable[[int], None] | None,
) -> tuple[int, int]:
    """Copy so many bytes, or what there is of them; return their number and their CRC-32."""
    buffer = memoryview(bytearray(min(size, _PIECE)))
    copied = crc32 = 0
    while copied < size:
        length = reader.readinto(buffer[: size - copied])
        if not length:
            break
        crc32 = zlib.crc32(buffer[:length], crc32)
        write(buffer[:length])
        copied += length
        if progress is not None:
            progress(length)
    return copied, crc32


def read(path: Path) -> list[Entry]:
    """Check every byte of an archive but the files' contents, and return its files.

    :raises CorruptArchive: with what :func:`write` would not have written so.
    :raises OSError: if the file cannot be read.
    """
    with open_archive(path) as file:
        return _read_entries(file)


def read_file(path: Path, entry: Entry, limit: int) -> bytes:
    """Return the content of one file.

    :param limit: of its size, in bytes.
    :raises CorruptArchive: if it is larger, or not what was packed.
    """
    if entry.size > limit:
        raise CorruptArchive(
            f"{names.quote_name(entry.name)} has {entry.size} bytes, and at most {limit} are read"
        )
    with open_archive(path) as file:
        content = _read_at(file, entry.offset, entry.size)
    refuse_if(_check_content(entry, len(content), zlib.crc32(content)))
    return content


def hash_files(
    path: Path, *, progress: Callable[[int], None] | None = None
) -> Iterator[tuple[Entry, str]]:
    """Check an archive as :func:`unpack` does, and yield its files with the SHA-256 of each.

    :param progress: is called with the number of bytes that were just read.
    :raises CorruptArchive: as :func:`unpack` does.
    """
    problems = []
    with open_archive(path) as file:
        for entry in _read_entries(file):
            digest = hashlib.sha256()
            file.seek(entry.offset)
            read, crc32 = _copy(file, digest.update, entry.size, progress)
            problems += _check_content(entry, read, crc32)
            yield entry, digest.hexdigest()
    refuse_if(problems)


def unpack(
    path: Path, folder: Path, *, progress: Callable[[int], None] | None = None
) -> list[Entry]:
    """Unpack an archive, once all that :func:`read` checks is checked, and return its files.

    :param folder: an existing, empty folder into which nobody else writes. If this raises, what is
        in it must not be used.
    :param progress: is called with the number of bytes that were just copied.
    :raises CorruptArchive: as :func:`read` does, and with each file whose checksum is wrong.
    :raises OSError: if the file system refuses, or the folder is not empty.
    """
    if any(folder.iterdir()):
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(folder))
    problems = []
    with open_archive(path) as file:
        entries = _read_entries(file)
        for entry in entries:
            target = folder / entry.name
            target.parent.mkdir(parents=True, exist_ok=True)
            file.seek(entry.offset)
            with target.open("xb") as writer:
                copied, crc32 = _copy(file, writer.write, entry.size, progress)
            problems += _check_content(entry, copied, crc32)
    refuse_if(problems)
    return entries


def _read_entries(file: BufferedReader) -> list[Entry]:
    length = os.fstat(file.fileno()).st_size
    count, size, position = _find_directory(file, length)
    entries, problems = _parse_directory(_read_at(file, position, size), count, position)
    if problems:
        problems.insert(0, "eisen-deploy-packaging has not packed this, or it was changed since")
    problems += names.find_problems([entry.name for entry in entries])
    refuse_if(problems or list(_check_local_headers(file, entries)))
    return entries


def _find_directory(file: BufferedReader, length: int) -> tuple[int, int, int]:
    """Return number of files, size and position of the directory, all of them possible ones."""
    tail = _read_at(file, max(0, length - zip_headers.END_SIZE_64), zip_headers.END_SIZE_64)
    claimed = zip_headers.read_end(tail)
    if claimed is None:
        raise CorruptArchive(_explain_missing_end(file, length))
    count, size, position = claimed
    if (
        count > names.FILES_LIMIT
        or size > names.ALL_BYTES_LIMIT + count * zip_headers.CENTRAL_SIZE_64
    ):
        raise CorruptArchive(f"the end record claims {count} files, {size} bytes: too many")
    expected = position + size + zip_headers.end_size(position)
    if expected != length:
        raise CorruptArchive(
            f"the archive has {length} bytes, and {expected} by its end record: something was put "
            "in front of it or into it, or was cut out of it"
        )
    if not tail.endswith(zip_headers.make_end(count, size, position)):
        raise CorruptArchive("the end record is not in the one form that it can have")
    return claimed


def _explain_missing_end(file: BufferedReader, length: int) -> str:
    head = _read_at(file, 0, 4)
    if not head:
        return "the archive is an empty file"
    if head[:2] == b"\x1f\x8b":
        return "the archive is a gzip file, not a zip file"
    if head not in (b"PK\3\4", b"PK\5\6"):
        return "the archive is not a zip file"
    begin = max(0, length - 2**16 - zip_headers.END_SIZE)
    if _has_end_record(_read_at(file, begin, length - begin), begin):
        return "the archive has a comment or other bytes behind its end record"
    return "the archive is cut off: it has no end record"


def _has_end_record(last: bytes, begin: int) -> bool:
    """Whether the archive's end record is in there; a packed torch model has one as well."""
    for at in (found.start() for found in re.finditer(b"PK\5\6", last)):
        claimed = zip_headers.read_end(last[at : at + zip_headers.END_SIZE])
        if claimed is not None and claimed[1] + claimed[2] == begin + at:
            return True
    return False


def _parse_directory(directory: bytes, count: int, end: int) -> tuple[list[Entry], list[str]]:
    """Return the files that a directory lists, and what is wrong with how it lists them.

    :param end: of the last file's content.
    """
    entries: list[Entry] = []
    problems: list[str] = []
    at = position = 0
    for number in range(1, count + 1):
        if at + zip_headers.CENTRAL_SIZE > len(directory):
            return entries, [*problems, f"the directory ends before file {number} of {count}"]
        claim = zip_headers.read_central(directory, at)
        found, at = directory[at : claim.end], claim.end
        try:
            name = claim.name.decode()
        except UnicodeDecodeError:
            return entries, [*problems, f"the name of file {number} of {count} is not UTF-8"]
        expected = zip_headers.make_central(name, claim.size, claim.crc32, position)
        if found != expected:
            problems.append(f"{names.quote_name(name)} {zip_headers.compare(found, expected)}")
        content = position + len(zip_headers.make_local(name, claim.size, claim.crc32))
        position = content + claim.size
        if position > end:
            return entries, [*problems, f"{names.quote_name(name)} reaches into the directory"]
        entries.append(Entry(name, claim.size, claim.crc32, content))
    if (at, position) != (len(directory), end):
        problems.append("there are bytes between the last file, the directory and the end record")
    return entries, problems


def _check_local_headers(file: BufferedReader, entries: list[Entry]) -> Iterator[str]:
    for entry in entries:
        expected = zip_headers.make_local(entry.name, entry.size, entry.crc32)
        found = _read_at(file, entry.offset - len(expected), len(expected))
        if found != expected:
            difference = zip_headers.compare(found, expected)
            yield f"{names.quote_name(entry.name)}, by its local header, {difference}"


def _check_content(entry: Entry, size: int, crc32: int) -> list[str]:
    if size != entry.size:
        return [f"{names.quote_name(entry.name)} is cut off: the archive became shorter meanwhile"]
    if crc32 != entry.crc32:
        return [
            f"{names.quote_name(entry.name)} was changed: its CRC-32 is not the one that was packed"
        ]
    return []


@contextmanager
def open_archive(path: Path) -> Iterator[BufferedReader]:
    """Open a file for all that is read of it; a pipe or a device is refused at once."""
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CorruptArchive("the archive is not a regular file")
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor has no path
        yield file


def _read_at(file: BufferedReader, position: int, size: int) -> bytes:
    file.seek(position)
    return file.read(size)
