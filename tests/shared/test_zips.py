"""The one form of an archive: written, read back, and agreed on with other readers of zip files."""

from __future__ import annotations

import os
import shutil
import stat
import struct
import subprocess
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from eisen_deploy.client._shared.archive import names, zip_headers, zips
from eisen_deploy.client._shared.errors import CorruptArchive

LARGE = 2**32 - 1
FILES = {
    "MAR-INF/MANIFEST.json": b"{}",
    "a-b": b"sorted before a/b",
    "a/b/c": b"deep",
    "empty": b"",
    "large.bin": bytes(range(256)) * 12_000,
    "n\u00e4me \U0001f9e0/\u00e9": b"composed",
    "n\u00e4me \U0001f9e0/o\u0308": b"as macOS writes it",
}


def tree(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def folder(tmp_path):
    return tree(tmp_path / "files", FILES)


@pytest.fixture
def archive(folder, tmp_path):
    zips.write(folder, tmp_path / "a.mar")
    return tmp_path / "a.mar"


@pytest.fixture
def private(tmp_path):
    (tmp_path / "private").mkdir()
    return tmp_path / "private"


def content_of(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def problems_of(function, *arguments, **options):
    with pytest.raises(CorruptArchive) as caught:
        function(*arguments, **options)
    return list(caught.value.problems)


# --- writing ------------------------------------------------------------------------------


def test_the_bytes_are_those_of_pythons_zipfile(archive, tmp_path):
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "x") as opened:
        for name in sorted(FILES):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            opened.writestr(entry, FILES[name])
    assert archive.read_bytes() == other.read_bytes()


def test_the_bytes_depend_on_nothing_else(archive, folder, tmp_path):
    again = tree(tmp_path / "again", dict(reversed(FILES.items())))
    (again / "a-b").chmod(0o600)
    os.utime(again / "empty", (1, 1))
    (again / "a-folder-without-files").mkdir()
    zips.write(again, tmp_path / "b.mar")
    assert (tmp_path / "b.mar").read_bytes() == archive.read_bytes()


def test_info_zip_reads_it(archive):
    if not shutil.which("unzip"):
        pytest.skip("there is no unzip")
    done = subprocess.run(["unzip", "-t", archive], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "No errors detected" in done.stdout


def test_progress_counts_every_byte_once(folder, archive, private, tmp_path):
    written, unpacked = [], []
    zips.write(folder, tmp_path / "b.mar", progress=written.append)
    zips.unpack(archive, private, progress=unpacked.append)
    assert sum(written) == sum(unpacked) == sum(map(len, FILES.values()))
    assert max(written) <= 2**20
    assert len(written) > len(FILES)


def test_memory_does_not_grow_with_the_file(tmp_path, private, peak_of):
    folder = tree(tmp_path / "files", {"large": b""})
    os.truncate(folder / "large", 32 * 2**20)
    _, peak = peak_of(lambda: zips.write(folder, tmp_path / "a.mar"))
    assert peak < 2 * 2**20
    _, peak = peak_of(lambda: zips.unpack(tmp_path / "a.mar", private))
    assert peak < 2 * 2**20


def test_what_is_there_is_not_overwritten(folder, archive, tmp_path):
    before = archive.read_bytes()
    with pytest.raises(FileExistsError):
        zips.write(folder, archive)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        zips.write(folder, tmp_path / "link")
    assert archive.read_bytes() == before
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("kind", ["link", "link-to-a-folder", "dangling", "pipe"])
def test_only_regular_files_are_packed(folder, tmp_path, kind):
    if kind == "pipe":
        os.mkfifo(folder / "odd")
    else:
        target = {"link": "a-b", "link-to-a-folder": "a", "dangling": "nowhere"}[kind]
        (folder / "odd").symlink_to(folder / target)
    assert problems_of(zips.write, folder, tmp_path / "a.mar") == ["'odd' is not a regular file"]


@pytest.mark.parametrize("size", [0, 2_000_000, 4_000_000])
def test_a_file_that_changes_its_size_meanwhile_is_noticed(folder, tmp_path, size):
    """The file is changed when its first piece has been copied."""
    target = folder / "large.bin"

    def change(copied):
        if copied == 2**20:
            os.truncate(target, size)

    problems = problems_of(zips.write, folder, tmp_path / "a.mar", progress=change)
    assert problems == ["'large.bin' changed while it was packed"]


def test_names_that_cannot_be_read_back_are_not_packed(tmp_path):
    deep = "/".join("d" * 33)
    odd = ["aux.txt", "back\\slash", "Case", "case", "caf\u00e9", "cafe\u0301", "Sub/a", "sub/b"]
    folder = tree(tmp_path / "files", dict.fromkeys([*odd, deep, "__pycache__/x.pyc"], b""))
    assert problems_of(zips.write, folder, tmp_path / "a.mar") == [
        "'__pycache__/x.pyc' would be byte code that Python runs in place of a checked file",
        "'aux.txt' names a device on Windows",
        "'back\\\\slash' holds '\\\\', which not every system allows",
        f"{deep!r} has 33 parts, and at most 32 are allowed",
        "'caf\u00e9' differs from 'cafe\u0301' only by case or composition",
        "'case' differs from 'Case' only by case or composition",
        "folders of 'Sub/a' and 'sub/b' differ only by case or composition",
    ]
    assert not (tmp_path / "a.mar").exists()


def test_a_name_that_is_not_text_is_not_packed(tmp_path):
    folder = tree(tmp_path / "files", {os.fsdecode(b"\xff"): b""})
    (problem,) = problems_of(zips.write, folder, tmp_path / "a.mar")
    assert problem.startswith("'\\udcff' holds '\\udcff'")


# --- reading ------------------------------------------------------------------------------


def test_the_list_of_entries_gives_offsets_and_sizes(archive):
    raw = archive.read_bytes()
    entries = zips.read(archive)
    assert [entry.name for entry in entries] == sorted(FILES)
    for entry in entries:
        assert raw[entry.offset : entry.offset + entry.size] == FILES[entry.name]
        assert entry.crc32 == zlib.crc32(FILES[entry.name])
        assert zips.read_file(archive, entry, entry.size) == FILES[entry.name]


def test_unpacking_gives_the_files(archive, private):
    assert zips.unpack(archive, private) == zips.read(archive)
    assert content_of(private) == FILES
    assert not (private / "a-b").stat().st_mode & 0o111


def test_an_archive_of_nothing(tmp_path, private):
    (tmp_path / "files").mkdir()
    zips.write(tmp_path / "files", tmp_path / "a.mar")
    assert zips.unpack(tmp_path / "a.mar", private) == []


def test_a_file_over_the_limit_is_not_read(archive):
    entry = zips.read(archive)[-3]
    assert entry.name == "large.bin"
    (problem,) = problems_of(zips.read_file, archive, entry, 1000)
    assert problem == "'large.bin' has 3072000 bytes, and at most 1000 are read"


def test_a_file_is_read_only_if_its_checksum_is_right(archive):
    entry = next(entry for entry in zips.read(archive) if entry.name == "a/b/c")
    damage(archive, entry.offset)
    (problem,) = problems_of(zips.read_file, archive, entry, 100)
    assert problem == "'a/b/c' was changed: its CRC-32 is not the one that was packed"


def damage(path, position, mask=1):
    with path.open("r+b") as file:
        file.seek(position)
        (byte,) = file.read(1)
        file.seek(position)
        file.write(bytes([byte ^ mask]))


def test_unpacking_names_every_damaged_file(archive, private):
    for entry in zips.read(archive):
        if entry.name in ("a-b", "large.bin"):
            damage(archive, entry.offset + entry.size - 1)
    assert problems_of(zips.unpack, archive, private) == [
        "'a-b' was changed: its CRC-32 is not the one that was packed",
        "'large.bin' was changed: its CRC-32 is not the one that was packed",
    ]


def test_nothing_is_written_before_every_header_is_checked(archive, private):
    last = zips.read(archive)[-1]
    damage(archive, last.offset - 1)  # the last byte of its name, in the local header
    (problem,) = problems_of(zips.unpack, archive, private)
    assert problem == f"{last.name!r}, by its local header, has another name or extra field"
    assert not list(private.iterdir())


def test_every_bit_counts(tmp_path):
    """Of headers and of contents alike."""
    zips.write(tree(tmp_path / "files", {"\u00e9/x": b"hi", "y": b""}), tmp_path / "a.mar")
    for bit in range(8 * (tmp_path / "a.mar").stat().st_size):
        private = tmp_path / str(bit)
        private.mkdir()
        damage(tmp_path / "a.mar", bit // 8, 1 << bit % 8)
        assert problems_of(zips.unpack, tmp_path / "a.mar", private), f"bit {bit}"
        damage(tmp_path / "a.mar", bit // 8, 1 << bit % 8)
    assert len(zips.read(tmp_path / "a.mar")) == 2


def test_many_problems_make_a_short_message(tmp_path):
    raw = b"".join(zip_headers.make_local(f"../{n:03d}", 0, 0) for n in range(1000))
    rest = b"".join(zip_headers.make_central(f"../{n:03d}", 0, 0, 36 * n) for n in range(1000))
    (tmp_path / "a.mar").write_bytes(raw + rest + zip_headers.make_end(1000, len(rest), len(raw)))
    problems = problems_of(zips.read, tmp_path / "a.mar")
    assert problems[:1] + problems[10:] == ["'../000' has the part '..'", "and 990 more problems"]


def test_only_into_an_empty_folder(archive, private, tmp_path):
    (private / ".hidden").write_bytes(b"theirs")
    with pytest.raises(OSError, match="not empty"):
        zips.unpack(archive, private)
    assert content_of(private) == {".hidden": b"theirs"}
    with pytest.raises(FileNotFoundError):
        zips.unpack(archive, tmp_path / "missing")


def test_what_appears_in_the_folder_meanwhile_is_not_written_through(archive, private, tmp_path):
    (tmp_path / "theirs").write_bytes(b"theirs")

    def plant(_):
        if not (private / "a-b").is_symlink():
            (private / "a-b").symlink_to(tmp_path / "theirs")

    with pytest.raises(FileExistsError):
        zips.unpack(archive, private, progress=plant)
    assert (tmp_path / "theirs").read_bytes() == b"theirs"


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_only_regular_files_are_read(tmp_path, kind):
    path = {"folder": tmp_path, "pipe": tmp_path / "pipe", "device": Path("/dev/zero")}[kind]
    if kind == "pipe":
        os.mkfifo(path)
    assert problems_of(zips.read, path) == ["the archive is not a regular file"]


def test_a_missing_archive_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        zips.read(tmp_path / "a.mar")


def test_a_huge_file_that_is_not_an_archive_is_not_read_whole(tmp_path, peak_of):
    path = tmp_path / "a.mar"
    path.touch()
    os.truncate(path, 2**40)
    problems, peak = peak_of(lambda: problems_of(zips.read, path))
    assert problems == ["the archive is not a zip file"]
    path.write_bytes(b"PK\3\4")
    os.truncate(path, 2**40)
    problems, _ = peak_of(lambda: problems_of(zips.read, path))
    assert problems == ["the archive is cut off: it has no end record"]
    assert peak < 2**20


def test_an_archive_that_is_cut_off_while_it_is_unpacked(archive, private):
    large = next(entry for entry in zips.read(archive) if entry.name == "large.bin")
    began = []

    def cut_off(copied):
        began.append(copied)
        if copied == 2**20:
            os.truncate(archive, large.offset + 2**20)

    problems = problems_of(zips.unpack, archive, private, progress=cut_off)
    assert problems[0] == "'large.bin' is cut off: the archive became shorter meanwhile"
    assert len(problems) == 3
    assert began


def test_an_archive_that_is_replaced_while_it_is_unpacked(archive, private, tmp_path):
    def replace(copied):
        (tmp_path / "new").write_bytes(b"another")
        (tmp_path / "new").replace(archive)

    zips.unpack(archive, private, progress=replace)
    assert content_of(private) == FILES
    assert archive.read_bytes() == b"another"


# --- zip64 --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 2**31, LARGE - 1])
def test_small_sizes_need_no_zip64(size):
    header = zip_headers.make_local("x", size, 5)
    assert struct.unpack_from("<3I2H", header, 14) == (5, size, size, 1, 0)
    assert header[4:6] == b"\x14\0"
    assert len(zip_headers.make_central("x", size, 5, LARGE - 1)) == 46 + 1
    assert len(zip_headers.make_end(1, 47, LARGE - 1)) == 22


@pytest.mark.parametrize("size", [LARGE, LARGE + 1, 2**40])
def test_large_sizes_need_zip64(size):
    header = zip_headers.make_local("x", size, 5)
    assert struct.unpack_from("<3I2H", header, 14) == (5, LARGE, LARGE, 1, 20)
    assert header[31:] == struct.pack("<2H2Q", 1, 16, size, size)
    assert header[4:6] == b"\x2d\0"
    assert zip_headers.make_central("x", size, 5, 7)[47:] == header[31:]
    assert zip_headers.make_central("x", size, 5, size)[47:] == struct.pack(
        "<2H3Q", 1, 24, *[size] * 3
    )
    assert zip_headers.make_central("x", 3, 5, size)[47:] == struct.pack("<2HQ", 1, 8, size)
    assert len(zip_headers.make_end(1, 47, size)) == 22 + 76


@pytest.mark.parametrize(
    ("size", "position"),
    [(0, 0), (7, 2**33), (2**32, 3), (LARGE, LARGE), (LARGE - 1, LARGE - 1), (2**63, 2**63)],
)
@pytest.mark.parametrize("name", ["x", "\u00e9/\U0001f9e0"])
def test_a_header_claims_what_it_was_made_of(name, size, position):
    header = zip_headers.make_central(name, size, 9, position)
    claim = zip_headers.read_central(b"before" + header + b"after", 6)
    assert claim == (name.encode(), size, 9, 6 + len(header))
    end = zip_headers.make_end(3, 100, position)
    assert zip_headers.read_end((bytes(200) + end)[-98:]) == (3, 100, position)
    assert zip_headers.end_size(position) == len(end)


SIZES = {"a": 5, "b": 2**32 + 5, "c": 9, "d": LARGE, "e": 0}


@pytest.fixture
def sparse(tmp_path):
    """An archive of more than 8 GiB that takes some kilobytes of the disk; it is nearly all zeros.

    The checksums of its large files are not right.
    """
    path = tmp_path / "sparse.mar"
    directory, position = b"", 0
    with path.open("xb") as file:
        for name, size in SIZES.items():
            crc32 = zlib.crc32(bytes(size)) if size < 10 else 7
            file.seek(position)
            header = zip_headers.make_local(name, size, crc32)
            file.write(header)
            directory += zip_headers.make_central(name, size, crc32, position)
            position += len(header) + size
        file.seek(position)
        file.write(directory + zip_headers.make_end(len(SIZES), len(directory), position))
    assert path.stat().st_blocks * 512 < 2**20
    return path


def test_a_large_archive_is_read_here_and_by_zipfile(sparse):
    entries = zips.read(sparse)
    assert {entry.name: entry.size for entry in entries} == SIZES
    with zipfile.ZipFile(sparse) as opened:
        infos = opened.infolist()
        assert opened.read("c") == bytes(9)
    assert [(i.filename, i.file_size, i.CRC) for i in infos] == [entry[:3] for entry in entries]
    versions = [(info.extract_version, len(info.extra)) for info in infos]
    assert versions == [(20, 0), (45, 20), (45, 12), (45, 28), (45, 12)]
    assert zips.read_file(sparse, entries[2], 9) == bytes(9)


def test_the_headers_of_a_large_archive_are_those_of_zipfile(sparse, tmp_path):
    """They are made without the contents: positions, sizes and checksums are given to zipfile."""
    other = tmp_path / "other.zip"
    begins = []
    with zipfile.ZipFile(other, "x") as opened:
        for entry in zips.read(sparse):
            info = zipfile.ZipInfo(entry.name)
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            info.file_size = info.compress_size = entry.size
            info.CRC = entry.crc32
            header = info.FileHeader()
            info.header_offset = entry.offset - len(header)
            begins.append((info.header_offset, header))
            opened.filelist.append(info)
        opened.start_dir = entry.offset + entry.size
        opened._didModify = True
    with sparse.open("rb") as ours, other.open("rb") as theirs:
        for position, header in begins:
            ours.seek(position)
            assert ours.read(len(header)) == header
        ours.seek(entry.offset + entry.size)
        theirs.seek(entry.offset + entry.size)
        assert ours.read() == theirs.read()


def test_every_bit_of_a_large_archives_headers_counts(sparse):
    entries = zips.read(sparse)
    size = sparse.stat().st_size
    directory = range(entries[-1].offset, size)
    local = range(
        entries[1].offset - len(zip_headers.make_local("b", SIZES["b"], 0)),
        entries[1].offset,
    )
    for position in [*local, *directory]:
        damage(sparse, position)
        assert problems_of(zips.read, sparse), f"byte {position} of {size}"
        damage(sparse, position)
    assert zips.read(sparse) == entries


# --- names --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["x", "a/b", "n\u00e4me", "a b", ".hidden", "...x", "\u4e2d/\U0001f9e0"]
)
def test_names_that_every_system_allows(name):
    assert names.find_problems([name]) == []


def test_a_long_name_is_measured_in_bytes():
    part = "\u00e4" * 127
    assert names.path_problem("/".join([part] * 4)) is None
    assert names.path_problem("/".join([part] * 4) + "/xyzz") is None
    assert names.path_problem("/".join([part] * 4) + "/x\u00e4yz") == (
        "is 1025 bytes long, longer than 1024"
    )
    assert names.path_problem("/".join("x" * 32)) is None


def test_an_archive_has_so_many_files_and_no_more():
    many = [f"{number:05d}" for number in range(names.FILES_LIMIT)]
    assert names.find_problems(many) == []
    (problem,) = names.find_problems([*many, "x"])
    assert problem == "there are 16385 files, and an archive holds at most 16384"
    long = [f"{number:05d}/{'x' * 250}" for number in range(names.FILES_LIMIT)]
    assert names.find_problems(long) == []
    (problem,) = names.find_problems([f"{name}xx" for name in long])
    assert "bytes together" in problem


def test_paths_that_collide_are_found_wherever_they_stand():
    paths = ["A/b/c", "a!", "a/b!", "a/b/d", "b", "b!", "b-c/d", "b/c"]
    assert list(names.find_collisions(paths)) == [
        "folders of 'A/b/c' and 'a/b/d' differ only by case or composition",
        "'b' is a file, and the folder of 'b/c'",
    ]
    assert not list(names.find_collisions(["a", "a.txt", "ab/c", "ab/d", "b/c"]))


parts = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters='<>:"/\\|?*'),
    min_size=1,
    max_size=6,
)
paths = st.lists(parts, min_size=1, max_size=3).map("/".join)


@settings(max_examples=50)
@given(files=st.dictionaries(paths, st.binary(max_size=40), max_size=6))
def test_everything_that_is_written_is_read_back(files, tmp_path_factory):
    assume(not names.find_problems(sorted(files)))
    base = tmp_path_factory.mktemp("property")
    (base / "files").mkdir()
    zips.write(tree(base / "files", files), base / "a.mar")
    (base / "private").mkdir()
    zips.unpack(base / "a.mar", base / "private")
    assert content_of(base / "private") == files
    with zipfile.ZipFile(base / "a.mar") as opened:
        assert opened.testzip() is None
        assert {name: opened.read(name) for name in opened.namelist()} == files
    shutil.rmtree(base)
