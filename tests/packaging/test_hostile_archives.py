"""Archives from strangers: each is refused, writes nothing outside, and costs next to nothing.

The archives are made from a real one, with a writer of zip files that can lie in every field. They
are unpacked and verified in one process of their own, which is this file run as a script.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import random
import struct
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow  # ten seconds

CPU_LIMIT = 1  # seconds for one archive
MEMORY_LIMIT = 64 * 2**20  # bytes for one archive, besides those that the process has already
FLIPS = 300

LINK = 0o120777 << 16
UTF_8 = 0x800

LOCAL = {"signature": "4s"}
LOCAL |= dict.fromkeys(["version", "flags", "method", "time", "date"], "H")
LOCAL |= dict.fromkeys(["crc", "packed_size", "size"], "I")
LOCAL |= dict.fromkeys(["name_length", "extra_length"], "H")
CENTRAL = {"signature": "4s", "made_by": "H", **LOCAL}
CENTRAL |= dict.fromkeys(["comment_length", "disk", "internal"], "H")
CENTRAL |= {"external": "I", "offset": "I"}
END = {"signature": "4s"}
END |= dict.fromkeys(["disk", "directory_disk", "count_here", "count"], "H")
END |= {"size": "I", "offset": "I", "comment_length": "H"}
END_64 = {"signature": "4s", "record_size": "Q", "made_by": "H", "version": "H"}
END_64 |= dict.fromkeys(["disk", "directory_disk"], "I")
END_64 |= dict.fromkeys(["count_here", "count", "size", "offset"], "Q")
LOCATOR = {"signature": "4s", "disk": "I", "offset": "Q", "disks": "I"}


def pack_fields(layout: dict[str, str], values: dict[str, Any]) -> bytes:
    return struct.pack("<" + "".join(layout.values()), *(values[key] for key in layout))


@dataclass(frozen=True)
class Member:
    """A file of an archive; its headers are true unless another value is given."""

    name: bytes
    content: bytes
    local: dict[str, Any] = field(default_factory=dict)
    central: dict[str, Any] = field(default_factory=dict)
    local_name: bytes | None = None
    local_extra: bytes = b""
    central_extra: bytes = b""
    comment: bytes = b""
    before: bytes = b""
    after: bytes = b""
    stored: bool = True  # whether its local header and its content are in the archive at all

    def both(self, **values: Any) -> Member:
        """Return one whose headers agree with each other in these values."""
        local = {key: value for key, value in values.items() if key in LOCAL}
        return replace(self, local={**self.local, **local}, central={**self.central, **values})

    def header(self) -> bytes:
        name = self.name if self.local_name is None else self.local_name
        values = {**_common(self.name, self.content), "signature": b"PK\3\4"}
        values |= {"name_length": len(name), "extra_length": len(self.local_extra), **self.local}
        return pack_fields(LOCAL, values) + name + self.local_extra

    def entry(self, offset: int) -> bytes:
        values = {**_common(self.name, self.content), "signature": b"PK\1\2", "offset": offset}
        values |= {"name_length": len(self.name), "extra_length": len(self.central_extra)}
        values |= {"comment_length": len(self.comment), "made_by": 3 << 8 | 20, "disk": 0}
        values |= {"internal": 0, "external": 0o100644 << 16, **self.central}
        return pack_fields(CENTRAL, values) + self.name + self.central_extra + self.comment


def _common(name: bytes, content: bytes) -> dict[str, Any]:
    flags = 0 if name.isascii() else UTF_8
    size = {"size": len(content), "packed_size": len(content), "crc": zlib.crc32(content)}
    return {"version": 20, "flags": flags, "method": 0, "time": 0, "date": 0x21, **size}


def build(
    members: list[Member],
    *,
    front: bytes = b"",
    told_front: int | None = None,
    gap: bytes = b"",
    second_gap: bytes = b"",
    zip64: dict[str, Any] | None = None,
    locator: dict[str, Any] | None = None,
    behind: bytes = b"",
    **end: Any,
) -> bytes:
    """Return a zip file.

    :param told_front: how many bytes in front the offsets tell of; all of them, if not given.
    :param gap: before the directory; a second one is behind it.
    :param zip64: put a zip64 end record and locator there that tell the truth but for these values.
    :param end: values of the end record that are not true.
    """
    parts, entries, position = [front], [], len(front) if told_front is None else told_front
    for member in members:
        piece = member.before + member.header() + member.content + member.after
        entries.append(member.entry(position + len(member.before)))
        if member.stored:
            parts.append(piece)
            position += len(piece)
    directory = b"".join(entries)
    position += len(gap)
    about = {"disk": 0, "directory_disk": 0, "count_here": len(members), "count": len(members)}
    about |= {"size": len(directory), "offset": position, "comment_length": 0}
    parts += [gap, directory, second_gap]
    if zip64 is not None:
        record = {**about, "signature": b"PK\6\6", "record_size": 44, "made_by": 45, "version": 45}
        parts.append(pack_fields(END_64, {**record, **zip64}))
        where = {"signature": b"PK\6\7", "disk": 0, "offset": position + len(directory), "disks": 1}
        parts.append(pack_fields(LOCATOR, {**where, **(locator or {})}))
    parts += [pack_fields(END, {"signature": b"PK\5\6", **about, **end}), behind]
    return b"".join(parts)


@dataclass(frozen=True)
class Originals:
    """Real archives, and the folder around the private one into which they are unpacked."""

    mar: bytes
    other: bytes  # the same, with other weights
    older: bytes  # the same, an older version with other metadata
    around: Path

    @property
    def members(self) -> list[Member]:
        return members_of(self.mar)

    def contents(self, raw: bytes | None = None) -> dict[str, bytes]:
        return {item.name.decode(): item.content for item in members_of(raw or self.mar)}


def members_of(raw: bytes) -> list[Member]:
    with zipfile.ZipFile(io.BytesIO(raw)) as opened:
        return [Member(name.encode(), opened.read(name)) for name in opened.namelist()]


Builder = Callable[[Originals], bytes]


@dataclass(frozen=True)
class Case:
    build: Builder
    reason: str  # is in the message
    stage: str = "headers"  # where it is refused: "headers", "content" or "eisen.json"


CASES: dict[str, Case] = {}


def case(name: str, reason: str, stage: str = "headers") -> Callable[[Builder], Builder]:
    def keep(builder: Builder) -> Builder:
        assert name not in CASES
        CASES[name] = Case(builder, reason, stage)
        return builder

    return keep


def adding(*extra: Member) -> Builder:
    """Return a builder that puts members at their places in the order of names."""
    return lambda o: build(sorted([*o.members, *extra], key=lambda item: item.name))


def changing(name: bytes, change: Callable[[Member], Member]) -> Builder:
    return lambda o: build([change(m) if m.name == name else m for m in o.members])


def with_contents(change: Callable[[dict[str, bytes], Originals], Any]) -> Builder:
    """Return a builder of a flawless zip file of other files."""

    def builder(originals: Originals) -> bytes:
        files = originals.contents()
        change(files, originals)
        return build([Member(name.encode(), files[name]) for name in sorted(files)])

    return builder


# --- names --------------------------------------------------------------------------------

NAMES = {
    "parent": (b"../escaped.txt", "has the part '..'"),
    "parent-twice": (b"../../escaped.txt", "has the part '..'"),
    "parent-inside": (b"dill/../../escaped.txt", "has the part '..'"),
    "parent-at-the-end": (b"dill/..", "has the part '..'"),
    "absolute": (b"/escaped.txt", "is an absolute path"),
    "unc": (b"//server/share/escaped.txt", "is an absolute path"),
    "parent-with-backslash": (b"..\\escaped.txt", "holds '\\\\'"),
    "unc-with-backslash": (b"\\\\server\\share\\escaped.txt", "holds '\\\\'"),
    "backslash": (b"dill\\x.py", "holds '\\\\'"),
    "drive": (b"C:/escaped.txt", "holds ':'"),
    "drive-relative": (b"C:escaped.txt", "holds ':'"),
    "stream": (b"labels.txt:hidden", "holds ':'"),
    "current-folder": (b"./labels2.txt", "has the part '.'"),
    "current-folder-inside": (b"dill/./x.py", "has the part '.'"),
    "doubled-slash": (b"dill//x.py", "has the part ''"),
    "folder": (b"empty/", "is a folder"),
    "empty": (b"", "is empty"),
    "nul": (b"labels.txt\0.png", "holds '\\x00'"),
    "newline": (b"labels\n.txt", "holds '\\n'"),
    "terminal-escape": (b"\x1b]0;x\x07.txt", "holds '\\x1b'"),
    "terminal-escape-of-one-byte": ("\x9b2J.txt".encode(), "holds '\\x9b'"),
    "wildcard": (b"*.txt", "holds '*'"),
    "device": (b"NUL", "names a device"),
    "device-with-suffix": (b"data/aux.txt", "names a device"),
    "device-with-superscript": ("COM\u00b9".encode(), "names a device"),
    "device-console": (b"conout$", "names a device"),
    "device-as-folder": (b"con/x.txt", "names a device"),
    "dot-at-the-end": (b"labels.txt.", "ends in a dot"),
    "space-at-the-end": (b"labels.txt ", "ends in a dot or a space"),
    "part-too-long": (b"x" * 256, "longer than 255 bytes"),
    "path-too-long": (b"/".join([b"x" * 250] * 5), "is 1254 bytes long"),
    "longest-that-a-header-holds": (b"x" * 65_535, "longer than 255 bytes"),
    "deep": (b"/".join([b"x"] * 33), "has 33 parts"),
    "very-deep": (b"/".join([b"x"] * 32_000), "has 32000 parts"),
    "not-utf-8": (b"caf\xe9.txt", "is not UTF-8"),
    "overlong-utf-8": (b"..\xc0\xafescaped.txt", "is not UTF-8"),
    "surrogate": (b"\xed\xb2\x80.txt", "is not UTF-8"),
    "byte-code": (b"_eisen_serving/__pycache__/handler.cpython-311.pyc", "would be byte code"),
    "byte-code-in-capitals": (b"dill/__PyCache__/x.pyc", "would be byte code"),
    "twice": (b"labels.txt", "'labels.txt' is there twice"),
    "case": (b"Labels.TXT", "only by case or composition"),
    "case-of-a-folder": (b"DILL/new.py", "folders of 'DILL/new.py' and 'dill/"),
    "case-beyond-ascii": ("stra\u00dfe/a".encode(), "only by case"),
    "composition": ("cafe\u0301.txt".encode(), "only by case or composition"),
    "below-a-file": (b"model.pt/x", "'model.pt' is a file, and the folder of 'model.pt/x'"),
    "below-a-file-in-another-case": (b"MODEL.pt/x", "'model.pt' is a file, and the folder of"),
}
for _name, (_raw, _reason) in NAMES.items():
    case(f"name-{_name}", _reason)(adding(Member(_raw, b"x")))


@case("name-absolute-into-the-folder-around", "is an absolute path")
def _(o):
    return adding(Member(str(o.around / "escaped.txt").encode(), b"x"))(o)


@case("name-through-the-folder-s-own", "has the part '..'")
def _(o):
    return adding(Member(b"../private/escaped.txt", b"x"))(o)


case("symbolic-link", "'out' is a symbolic link")(
    adding(Member(b"out", b"..", central={"external": LINK}))
)
case("symbolic-link-and-a-file-through-it", "'out' is a symbolic link")(
    adding(Member(b"out", b"..", central={"external": LINK}), Member(b"out/escaped.txt", b"x"))
)
case("symbolic-link-absolute", "'out' is a symbolic link")(
    adding(Member(b"out", b"/", central={"external": LINK}))
)
case("symbolic-link-in-place-of-the-model", "'model.pt' is a symbolic link")(
    changing(b"model.pt", lambda m: replace(m, content=b"/etc/hostname").both(external=LINK))
)
case("hidden-in-a-comment-of-unix", "has length of the extra field 12")(
    changing(b"labels.txt", lambda m: replace(m, central_extra=b"ux\x08\0" + bytes(8)))
)
case("device-file", "has external attributes")(
    adding(Member(b"zero", b"", central={"external": 0o020666 << 16}))
)
case("unsorted", "not in the order of their names")(lambda o: build(o.members[::-1]))
case("utf-8-without-its-flag", "has flags 0, expected 2048")(
    adding(Member("\u00e4.txt".encode(), b"x").both(flags=0))
)
case("utf-8-flag-without-need", "has flags 2048, expected 0")(
    changing(b"labels.txt", lambda m: m.both(flags=UTF_8))
)
case("same-name-and-content-twice", "is there twice")(
    lambda o: build(sorted([*o.members, o.members[0]], key=lambda item: item.name))
)

# --- one field of one header --------------------------------------------------------------

LOCAL_LIES = {
    "signature": b"PK\3\5",
    "version": 45,
    "flags": UTF_8,
    "method": 8,
    "time": 1,
    "date": 0x22,
    "crc": 1,
    "packed_size": 1,
    "size": 1,
    "name_length": 9,
    "extra_length": 4,
}
for _field, _value in LOCAL_LIES.items():
    case(f"local-{_field}", "by its local header")(
        changing(b"labels.txt", lambda m, f=_field, v=_value: replace(m, local={f: v}))
    )
for _field in ("packed_size", "size", "crc"):
    case(f"local-{_field}-0-as-with-a-descriptor", "by its local header")(
        changing(b"labels.txt", lambda m, f=_field: replace(m, local={f: 0}))
    )
case("local-name", "by its local header, has another name")(
    changing(b"labels.txt", lambda m: replace(m, local_name=b"../ls.txt!"))
)
case("local-extra-field", "has offset")(
    changing(b"labels.txt", lambda m: replace(m, local_extra=b"XX\4\0abcd"))
)
CENTRAL_LIES = {
    "signature": b"PK\1\3",
    "made_by": 20,
    "version": 45,
    "flags": UTF_8,
    "method": 8,
    "time": 1,
    "date": 0x22,
    "packed_size": 1,
    "disk": 1,
    "internal": 1,
    "external": 0,
    "offset": 0,
}
for _field, _value in CENTRAL_LIES.items():
    case(f"central-{_field}", "'labels.txt' ")(
        changing(b"labels.txt", lambda m, f=_field, v=_value: replace(m, central={f: v}))
    )
for _field in ("crc", "size", "name_length", "extra_length", "comment_length"):
    case(f"central-{_field}", "")(
        changing(b"labels.txt", lambda m, f=_field: replace(m, central={f: 7}))
    )
case("entry-comment", "has length of the comment 2, expected 0")(
    changing(b"labels.txt", lambda m: replace(m, comment=b"hi"))
)
case("mode-set-user-id", "has external attributes")(
    changing(b"labels.txt", lambda m: m.both(external=0o104755 << 16))
)
case("date-of-today", "has date")(changing(b"labels.txt", lambda m: m.both(date=0x5A21)))
case("encrypted", "'labels.txt' is encrypted")(changing(b"labels.txt", lambda m: m.both(flags=1)))
case("strongly-encrypted", "is encrypted")(changing(b"model.pt", lambda m: m.both(flags=0x41)))
case("masked-headers", "has flags 8192")(changing(b"model.pt", lambda m: m.both(flags=0x2000)))
case("method-unknown", "is compressed")(changing(b"model.pt", lambda m: m.both(method=99)))
case("descriptor", "has flags 8, expected 0")(
    changing(
        b"labels.txt",
        lambda m: replace(
            m.both(flags=8),
            local={"flags": 8, "crc": 0, "size": 0, "packed_size": 0},
            after=struct.pack("<4s3I", b"PK\7\x08", zlib.crc32(m.content), *[len(m.content)] * 2),
        ),
    )
)
case("unicode-path-field", "has length of the extra field")(
    changing(
        b"labels.txt",
        lambda m: replace(
            m,
            central_extra=struct.pack("<2HBI", 0x7075, 16, 1, zlib.crc32(m.name)) + b"../escaped!",
        ),
    )
)
case("time-field", "has length of the extra field 9")(
    changing(
        b"labels.txt",
        lambda m: replace(m, local_extra=(e := b"UT\5\0\1\0\0\0\0"), central_extra=e),
    )
)

# --- zip64 --------------------------------------------------------------------------------

FULL = 0xFFFFFFFF


def zip64_sizes(size: int, packed: int, *more: int) -> bytes:
    values = (size, packed, *more)
    return struct.pack(f"<2H{len(values)}Q", 1, 8 * len(values), *values)


def claiming(member: Member, size: int, packed: int | None = None) -> Member:
    extra = zip64_sizes(size, size if packed is None else packed)
    large = replace(member, local_extra=extra, central_extra=extra)
    return large.both(size=FULL, packed_size=FULL, version=45, made_by=3 << 8 | 45)


case("zip64-sizes-without-need", "'labels.txt' has version made by")(
    changing(b"labels.txt", lambda m: claiming(m, len(m.content)))
)
for _what, _size in {"4-gib": 2**32, "half-of-all": 2**63, "all": 2**64 - 1}.items():
    case(f"zip64-size-{_what}", "'labels.txt' reaches into the directory")(
        changing(b"labels.txt", lambda m, s=_size: claiming(m, s))
    )
case("zip64-sizes-differ", "'labels.txt'")(
    changing(b"labels.txt", lambda m: claiming(m, 2**32, len(m.content)))
)
case("zip64-size-only-in-the-local-header", "has offset")(
    changing(
        b"labels.txt",
        lambda m: replace(m, local_extra=zip64_sizes(9, 9), local={"size": FULL}),
    )
)
case("zip64-size-without-its-field", "'labels.txt'")(
    changing(b"labels.txt", lambda m: m.both(size=FULL, packed_size=FULL))
)
case("zip64-field-cut-off", "'labels.txt'")(
    changing(b"labels.txt", lambda m: replace(m, central_extra=b"\1\0").both(size=FULL))
)
case("zip64-offset", "'labels.txt'")(
    changing(
        b"labels.txt",
        lambda m: replace(
            m, central_extra=struct.pack("<2HQ", 1, 8, 0), central={"offset": FULL, "version": 45}
        ),
    )
)
case("zip64-end-without-need", "by its end record: something was put")(
    lambda o: build(o.members, zip64={})
)
case("zip64-end-in-place-of-the-offset", "by its end record: something was put")(
    lambda o: build(o.members, zip64={}, offset=FULL)
)
for _what, _offset in {"behind": 2**40, "all": 2**64 - 1, "full": FULL}.items():
    case(f"zip64-directory-{_what}", "by its end record: something was put")(
        lambda o, offset=_offset: build(o.members, zip64={"offset": offset}, offset=FULL)
    )
case("zip64-end-cut-off", "by its end record: something was put|not in the one form")(
    lambda o: build(o.members, offset=FULL),
)
case("zip64-locator-elsewhere", "by its end record: something was put")(
    lambda o: build(o.members, zip64={}, locator={"offset": 0}, offset=FULL)
)
case("zip64-second-directory", "by its end record: something was put")(
    lambda o: build(o.members, zip64={"offset": 0, "count": 1, "size": 60})
)
case("zip64-a-million-files", "too many")(
    lambda o: build(o.members, zip64={"count": 10**6, "count_here": 10**6}, count=0xFFFF)
)

# --- the end record -----------------------------------------------------------------------

case("end-disk", "not in the one form")(lambda o: build(o.members, disk=1))
case("end-directory-disk", "not in the one form")(lambda o: build(o.members, directory_disk=1))
case("end-counts-differ", "not in the one form")(lambda o: build(o.members, count_here=1))
case("end-comment-length", "not in the one form")(lambda o: build(o.members, comment_length=5))
case("end-offset", "by its end record: something was put")(lambda o: build(o.members, offset=3))
case("end-size", "by its end record: something was put")(lambda o: build(o.members, size=46))
case("end-size-huge", "too many")(lambda o: build(o.members, size=2**32 - 1))
case("end-65535-files", "too many")(lambda o: build(o.members, count=65_535, count_here=65_535))
case("end-more-files-than-there-are", "the directory ends before file")(
    lambda o: build(o.members, count=16_384, count_here=16_384)
)
case("end-one-file-more", "the directory ends before file")(
    lambda o: build(o.members, count=(n := len(o.members) + 1), count_here=n)
)
case("end-one-file-less", "there are bytes between")(
    lambda o: build(o.members, count=(n := len(o.members) - 1), count_here=n)
)
case("end-no-files", "there are bytes between")(lambda o: build(o.members, count=0, count_here=0))
case("no-files", "eisen.json cannot be read", "eisen.json")(lambda o: build([]))
case("comment", "has a comment or other bytes")(
    lambda o: build(o.members, comment_length=5, behind=b"hello")
)
case("comment-that-is-an-end-record", "")(
    lambda o: build(o.members, comment_length=22, behind=build([]))
)

# --- data before, between and behind; overlaps ---------------------------------------------

case("front-declared", "has offset 9, expected 0")(lambda o: build(o.members, front=b"#!/bin/sh"))
case("front-untold", "by its end record: something was put")(
    lambda o: build(o.members, front=b"#!/bin/sh", told_front=0)
)
case("front-pickle", "has offset")(lambda o: build(o.members, front=b"\x80\x04N."))
case("front-another-archive", "by its end record: something was put")(lambda o: o.other + o.mar)
case("behind-one-byte", "other bytes behind its end record")(lambda o: o.mar + b"\n")
case("end-records-by-the-thousand", "is cut off")(lambda o: o.mar + b"PK\5\6" * 2**15 + b"!")
case("behind-64-kib", "is cut off")(lambda o: o.mar + bytes(2**17))
case("between-files", "has offset")(changing(b"model.pt", lambda m: replace(m, before=b"hidden")))
case("behind-a-file", "has offset")(changing(b"labels.txt", lambda m: replace(m, after=b"!")))
case("behind-the-last-file", "there are bytes between")(lambda o: build(o.members, gap=b"hidden"))
case("behind-the-directory", "by its end record: something was put")(
    lambda o: build(o.members, second_gap=b"hidden")
)
case("hidden-file", "has offset")(
    changing(b"model.pt", lambda m: replace(m, before=Member(b"evil.py", b"1/0").header() + b"1/0"))
)
case("hidden-first-file", "has offset")(
    lambda o: build(o.members, front=Member(b"evil.py", b"1/0").header() + b"1/0")
)
case("two-names-for-one-content", "reaches into the directory|has offset")(
    lambda o: build([replace(o.members[0], name=b"AAA", stored=False), *o.members])
)


@case("overlap-full", "has offset 0, expected|reaches into")
def _(o):
    """A better zip bomb: many files that are all the same bytes."""
    kernel = Member(b"a000", bytes(100_000))
    copies = [
        replace(kernel, name=b"a%03d" % n, stored=False, central={"offset": 0})
        for n in range(1, 1000)
    ]
    return build([kernel, *copies])


@case("overlap-quoted", "reaches into the directory|has offset")
def _(o):
    """Each file's content holds the local headers of all that follow it."""
    inner = Member(b"b", bytes(1000))
    outer = Member(b"a", inner.header() + inner.content)
    offset = len(outer.header())
    return build([outer, replace(inner, stored=False, central={"offset": offset})])


@case("header-inside-content", "has offset")
def _(o):
    evil = Member(b"labels.txt", b"evil")
    carrier = Member(b"carrier", evil.header() + evil.content)
    rest = [m for m in o.members if m.name != b"labels.txt"]
    members = sorted([*rest, carrier, replace(evil, stored=False)], key=lambda item: item.name)
    return build(members)


# --- bombs --------------------------------------------------------------------------------


def compressed(name: bytes, content: bytes, packed: bytes, method: int = 8) -> Member:
    told = {"crc": zlib.crc32(content), "size": len(content)}
    return Member(name, packed).both(method=method, packed_size=len(packed), **told)


def deflate(content: bytes) -> bytes:
    return zlib.compress(content, 9, -15)


@case("bomb-deflate", "'bomb' is compressed")
def _(o):
    content = bytes(32 * 2**20)
    return adding(compressed(b"bomb", content, deflate(content)))(o)


@case("bomb-deflate-that-lies-about-its-size", "'bomb' is compressed")
def _(o):
    packed = deflate(bytes(32 * 2**20))
    return adding(Member(b"bomb", packed).both(method=8, size=10))(o)


@case("bomb-nested", "is compressed")
def _(o):
    content = bytes(2**20)
    for level in range(5):
        members = [compressed(b"%d.zip" % n, content, deflate(content)) for n in range(8)]
        content = build(members) if level else deflate(content)
    return content


@case("bomb-quine", "is compressed")
def _(o):
    """A file that says of itself that it is the archive in which it is."""
    return build([Member(b"r/r.zip", b"\0" * 440).both(method=8, packed_size=440, size=440)])


case("bomb-bzip2", "is compressed")(
    adding(compressed(b"bomb", bytes(2**20), bz2.compress(bytes(2**20)), 12))
)
case("bomb-lzma", "is compressed")(
    adding(compressed(b"bomb", bytes(2**20), lzma.compress(bytes(2**20)), 14))
)
case("bomb-claims-4-gib", "reaches into the directory")(
    changing(b"labels.txt", lambda m: m.both(size=FULL - 1, packed_size=FULL - 1))
)
case("bomb-each-file-claims-4-gib", "reaches into the directory")(
    lambda o: build([m.both(size=FULL - 1, packed_size=FULL - 1) for m in o.members])
)


@case("bomb-most-files-that-are-read", "by its local header")
def _(o):
    members = [Member(b"%05d" % n, b"") for n in range(2**14)]
    return build([*members[:-1], replace(members[-1], local={"time": 1})])


@case("bomb-more-files-than-are-read", "too many")
def _(o):
    return build([Member(b"%05d" % n, b"") for n in range(2**14 + 1)])


@case("bomb-deepest-paths", "by its local header")
def _(o):
    names = sorted({b"/".join(b"%x" % (n * k % 4093) for k in range(1, 33)) for n in range(16_384)})
    members = [Member(name, b"") for name in names]
    return build([*members[:-1], replace(members[-1], local={"time": 1})])


@case("bomb-longest-paths", "by its local header")
def _(o):
    part = "a" + "\u0315\u0300" * 62
    names = [f"{part}/{part}/{part}/{n:05d}".encode() for n in range(5000)]
    members = [Member(name, b"") for name in names]
    return build([*members[:-1], replace(members[-1], local={"time": 1})])


@case("bomb-marks-to-be-put-in-order", "longer than 255 bytes")
def _(o):
    """Unicode normalisation sorts combining marks in a time that grows with their square."""
    names = [(f"{n:03d}" + "\u0315\u0300" * 16_000).encode() for n in range(60)]
    return build([Member(name, b"") for name in names])


@case("bomb-too-many-bytes-of-names", "bytes together")
def _(o):
    return build([Member(b"%05d/" % n + b"x" * 255, b"") for n in range(2**14)])


@case("bomb-every-header-wrong", "more problems")
def _(o):
    return build([Member(b"../%05d" % n, b"").both(method=8) for n in range(2**14)])


# --- other files --------------------------------------------------------------------------

case("empty-file", "is an empty file")(lambda o: b"")
case("one-byte", "is not a zip file")(lambda o: b"P")
case("zeros", "is not a zip file")(lambda o: bytes(10_000))
case("text", "is not a zip file")(lambda o: b"version https://git-lfs.github.com/spec/v1\n" * 3)
case("html", "is not a zip file")(lambda o: b"<html>407 Proxy Authentication Required</html>")
case("end-record-alone-that-lies", "by its end record: something was put")(lambda o: o.mar[-22:])
case("gzip", "is a gzip file")(lambda o: gzip.compress(o.mar, 1))


@case("tar-gz", "is a gzip file")
def _(o):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz", compresslevel=1) as archive:
        for name, content in o.contents().items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return raw.getvalue()


@case("weights-of-torch", "by its end record: something was put")
def _(o):
    return o.contents()["model.pt"]


@case("made-by-torch-model-archiver", "eisen-deploy-packaging has not packed this")
def _(o):
    """As it writes archives: compressed, and with folders."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("MAR-INF/", "")
        for name, content in o.contents().items():
            archive.writestr(name, content)
    return raw.getvalue()


@case("repacked-without-compression", "eisen-deploy-packaging has not packed this")
def _(o):
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        for name, content in o.contents().items():
            archive.writestr(zipfile.ZipInfo(name, (2024, 5, 17, 12, 0, 0)), content)
    return raw.getvalue()


case("polyglot-gzip-and-zip", "by its end record: something was put")(
    lambda o: gzip.compress(b"x") + o.mar
)
case("polyglot-pdf-and-zip", "has offset")(lambda o: build(o.members, front=b"%PDF-1.7\n"))

# --- cut off ------------------------------------------------------------------------------

for _part in range(20):
    case(f"cut-off-after-{_part * 5:02d}-percent", "")(
        lambda o, part=_part: o.mar[: 5 + len(o.mar) * part // 20]
    )
for _missing in (1, 2, 21, 22, 23, 50, 1000):
    case(f"cut-off-by-{_missing}", "is cut off")(lambda o, n=_missing: o.mar[:-n])
case("cut-off-in-front", "by its end record: something was put")(lambda o: o.mar[1:])
case("cut-out-of-the-middle", "by its end record: something was put")(
    lambda o: o.mar[:5000] + o.mar[5001:]
)
case("grown-in-the-middle", "by its end record: something was put")(
    lambda o: o.mar[:5000] + b"!" + o.mar[5000:]
)

# --- the contents -------------------------------------------------------------------------


def flip(raw: bytes, bit: int) -> bytes:
    changed = bytearray(raw)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


FLIPPED = [
    "model.pt",
    "eisen.json",
    "metadata.json",
    "_eisen_serving/torchserve/entry.py",
    "labels.txt",
]
for _file in FLIPPED:
    case(f"flip-in-{_file.split('/')[-1]}", f"'{_file}' was changed: its CRC-32", "content")(
        lambda o, file=_file: flip(
            o.mar, 8 * o.mar.index(o.contents()[file], o.mar.index(file.encode()))
        )
    )
case("wrong-checksum-in-both-headers", "'labels.txt' was changed: its CRC-32", "content")(
    changing(b"labels.txt", lambda m: m.both(crc=m.content[0]))
)


def json_changed(raw: bytes, **changes: Any) -> bytes:
    """Return an ``eisen.json`` that says something else; its digest is left as it was."""
    text = json.dumps({**json.loads(raw), **changes}, sort_keys=True, indent=1, ensure_ascii=False)
    return (text + "\n").encode()


def json_forged(raw: bytes, **changes: Any) -> bytes:
    """Return an ``eisen.json`` that says something else, with the digest of that."""
    said = {key: value for key, value in {**json.loads(raw), **changes}.items() if key != "digest"}
    text = json.dumps(said, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    return json_changed(raw, **changes, digest=hashlib.sha256(text.encode()).hexdigest())


def contents_case(name: str, reason: str) -> Callable[[Any], Any]:
    return lambda change: case(name, reason, "eisen.json")(with_contents(change))


def moved(files: dict[str, bytes], old: str, new: str) -> None:
    files[new] = files.pop(old)


def swapped(files: dict[str, bytes], one: str, two: str) -> None:
    files[one], files[two] = files[two], files[one]


def put(**changes: Any) -> Callable[[dict[str, bytes], Originals], None]:
    def change(files: dict[str, bytes], _: Originals) -> None:
        files["eisen.json"] = json_forged(files["eisen.json"], **changes)

    return change


contents_case("file-added", "evil.py does not belong")(lambda f, o: f.update({"evil.py": b"1/0"}))
contents_case("file-added-beside-the-handler", "does not belong to the archive")(
    lambda f, o: f.update({"_eisen_serving/numpy.py": b"1/0"})
)
contents_case("file-added-that-is-empty", "dill/__main__.py does not belong")(
    lambda f, o: f.update({"dill/__main__.py": b""})
)
contents_case("file-removed", "labels.txt is missing")(lambda f, o: f.pop("labels.txt"))
contents_case("file-removed-model", "model.pt is missing")(lambda f, o: f.pop("model.pt"))
contents_case("file-removed-eisen-json", "eisen.json cannot be read")(
    lambda f, o: f.pop("eisen.json")
)
contents_case("file-removed-manifest", "MAR-INF/MANIFEST.json is missing")(
    lambda f, o: f.pop("MAR-INF/MANIFEST.json")
)
contents_case("file-renamed", "labels2.txt does not belong")(
    lambda f, o: moved(f, "labels.txt", "labels2.txt")
)
contents_case("file-moved-into-a-folder", "labels.txt is missing")(
    lambda f, o: moved(f, "labels.txt", "more/labels.txt")
)
contents_case("files-swapped", "was changed|bytes")(
    lambda f, o: swapped(f, "dill/__init__.py", "dill/settings.py")
)
contents_case("file-of-the-same-size", "labels.txt was changed")(
    lambda f, o: f.update({"labels.txt": b"z" * len(f["labels.txt"])})
)
contents_case("model-of-another-archive", "model.pt")(
    lambda f, o: f.update({"model.pt": o.contents(o.other)["model.pt"]})
)
contents_case("metadata-of-an-older-version", "metadata.json")(
    lambda f, o: f.update({"metadata.json": o.contents(o.older)["metadata.json"]})
)
contents_case("manifest-of-an-older-version", "MAR-INF/MANIFEST.json")(
    lambda f, o: f.update({"MAR-INF/MANIFEST.json": o.contents(o.older)["MAR-INF/MANIFEST.json"]})
)
contents_case("eisen-json-of-another-archive", "model.pt")(
    lambda f, o: f.update({"eisen.json": o.contents(o.other)["eisen.json"]})
)
contents_case("eisen-json-of-an-older-version", "metadata.json")(
    lambda f, o: f.update({"eisen.json": o.contents(o.older)["eisen.json"]})
)
contents_case("eisen-json-tampered", "its digest is not that of its text")(
    lambda f, o: f.update({"eisen.json": json_changed(f["eisen.json"], packed_with={})})
)
contents_case("eisen-json-with-another-layout", "was changed")(
    lambda f, o: f.update({"eisen.json": json.dumps(json.loads(f["eisen.json"])).encode()})
)
contents_case("eisen-json-no-json", "eisen.json")(lambda f, o: f.update({"eisen.json": b"PK"}))
contents_case("eisen-json-nested", "eisen.json")(
    lambda f, o: f.update({"eisen.json": b"[" * 100_000})
)
contents_case("eisen-json-format-99", "has format 99")(put(format=99))
contents_case("eisen-json-without-files", "does not list|each with a file")(put(files=[]))
contents_case("eisen-json-lists-a-file-outside", "'../../x' has the part '..'")(
    lambda f, o: put(
        files={**json.loads(f["eisen.json"])["files"], "../../x": {"sha256": "0", "size": 0}}
    )(f, o)
)
contents_case("eisen-json-model-outside", "each with a file of the list")(
    put(model={"name": "m", "version": "1", "form": "eager", "file": "../../model.pt"})
)

# --- the test -----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def originals(tmp_path_factory):
    import torch

    from eisen_deploy.packaging import EisenServingMAR

    folder = tmp_path_factory.mktemp("originals")
    assets = [folder / name for name in ("labels.txt", "caf\u00e9.txt", "strasse")]
    for path in assets:
        path.mkdir() if path.name == "strasse" else path.write_bytes(b"0 background\n1 tumour\n")
    (assets[2] / "a").write_bytes(b"x")

    def packed(seed, version, note):
        torch.manual_seed(seed)
        packer = EisenServingMAR(None, None, {"inputs": [], "note": note})
        model = torch.nn.Linear(3, 2)
        target = folder / f"{seed}-{version}"
        return packer.pack(model, target, "seg", version, assets).read_bytes()

    around = tmp_path_factory.mktemp("around")
    return Originals(packed(0, "2", "new"), packed(1, "2", "new"), packed(0, "1", "o"), around)


@pytest.fixture(scope="session")
def outcome(originals, tmp_path_factory, python):
    """The outcome of every archive by its name, and of the original with one bit flipped."""
    if not sys.platform.startswith("linux"):
        pytest.skip("measures memory by /proc")
    archives = tmp_path_factory.mktemp("archives")
    (archives / "original").write_bytes(originals.mar)
    for name, one in CASES.items():
        (archives / name).write_bytes(one.build(originals))
    (originals.around / "kept.txt").write_text("kept")
    (originals.around / "dill").mkdir()
    (originals.around / "dill" / "kept.txt").write_text("kept")
    return json.loads(python(__file__, archives, originals.around))


def test_the_forging_writer_writes_sound_archives_by_default(originals):
    assert build(originals.members) == originals.mar


def test_the_original_is_accepted(outcome):
    assert outcome["cases"]["original"]["problems"] is None
    assert not outcome["torch"]


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_archive_is_refused_and_harms_nothing(outcome, name):
    came, expected = outcome["cases"][name], CASES[name]
    assert came["problems"], "it was accepted"
    assert any(reason in "\n".join(came["problems"]) for reason in expected.reason.split("|"))
    assert len("; ".join(came["problems"])) < 5000
    assert came["stage"] == expected.stage
    assert came["outside"] == "untouched"
    assert came["cpu"] < CPU_LIMIT
    assert came["memory"] < MEMORY_LIMIT


def test_no_archive_is_like_another(outcome):
    assert len({one["digest"] for one in outcome["cases"].values()}) == len(CASES) + 1


def test_a_bit_flipped_anywhere_is_refused(outcome):
    flips = outcome["flips"]
    assert flips["tried"] == FLIPS
    assert flips["accepted"] == []
    assert flips["outside"] == "untouched"


# --- the process that unpacks --------------------------------------------------------------


def main(archives: Path, around: Path) -> dict[str, Any]:
    before = state(around)
    attempt(archives / "original", around, before)  # what is imported late is not measured
    cases = {name: attempt(archives / name, around, before) for name in ["original", *CASES]}
    flips = flip_bits(archives / "original", around, before)
    return {"cases": cases, "flips": flips, "torch": "torch" in sys.modules}


def attempt(archive: Path, around: Path, before: dict[str, Any]) -> dict[str, Any]:
    import shutil

    private = around / "dill" / "private"
    private.mkdir(mode=0o700)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of before
    resident, begun = memory("VmRSS"), time.process_time()
    problems, stage = unpacked(archive, private)
    cpu, peak = time.process_time() - begun, memory("VmHWM")
    shutil.rmtree(private)
    untouched = state(around) == before and not Path("/escaped.txt").exists()
    outside = "untouched" if untouched else "changed"
    came = {"problems": problems, "stage": stage, "outside": outside}
    return {**came, "cpu": cpu, "memory": peak - resident, "digest": digest_of(archive)}


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def unpacked(archive: Path, private: Path) -> tuple[tuple[str, ...] | None, str | None]:
    """Unpack and verify; return what was wrong, and whether headers, content or eisen.json."""
    from eisen_deploy.client._shared import errors
    from eisen_deploy.client._shared.archive import unpacked_folder, zips

    unpacked_whole = False
    try:
        zips.unpack(archive, private)
        unpacked_whole = True
        unpacked_folder.verify(private)
    except errors.CorruptArchive as error:
        begun = any(private.iterdir())
        stage = "eisen.json" if unpacked_whole else "content" if begun else "headers"
        return error.problems, stage
    return None, None


def flip_bits(original: Path, around: Path, before: dict[str, Any]) -> dict[str, Any]:
    chance = random.Random(0)
    raw = original.read_bytes()
    accepted, outside = [], set()
    bits = [chance.randrange(8 * len(raw)) for _ in range(FLIPS)]
    for bit in bits:
        put_byte(original, bit // 8, raw[bit // 8] ^ 1 << bit % 8)
        came = attempt(original, around, before)
        outside.add(came["outside"])
        put_byte(original, bit // 8, raw[bit // 8])
        if came["problems"] is None:
            accepted.append(bit)
    return {"tried": len(bits), "accepted": accepted, "outside": "/".join(sorted(outside))}


def put_byte(path: Path, position: int, byte: int) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        file.write(bytes([byte]))


def state(folder: Path) -> dict[str, Any]:
    """Return all that is in a folder, and when it was last changed."""
    found = {}
    for path in folder.rglob("*"):
        about = path.lstat()
        content = path.read_bytes().hex() if path.is_file() else None
        modified = about.st_mtime_ns if content else None  # folders are written to, and emptied
        found[str(path.relative_to(folder))] = (about.st_mode, about.st_size, modified, content)
    return found


def memory(line: str) -> int:
    """Return resident bytes, now (``VmRSS``) or at most so far (``VmHWM``)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(found.split()[1]) for found in lines if found.startswith(line)) * 1024


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))))
