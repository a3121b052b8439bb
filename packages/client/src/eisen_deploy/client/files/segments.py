"""What the labels of a mask mean: as the user says it, and as the model's metadata declares it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from eisen_deploy.client._shared.model.metadata import Metadata

Color = tuple[int, int, int]

#: Of the characters of a DICOM Long String (LO), such as a segment's label.
LONGEST_NAME = 64
MAX_SEGMENTS = 1000

_FORM = re.compile(r"([0-9]{1,5})=([^,]+)(?:,(.+))?")
_CODE = re.compile(r"([A-Za-z0-9-]{1,16}):([A-Za-z0-9_.-]{1,16})")
_COLOR = re.compile("#([0-9A-Fa-f]{2})([0-9A-Fa-f]{2})([0-9A-Fa-f]{2})")
_HELP = "expected NUMBER=NAME or NUMBER=NAME,SCHEME:CODE: 1=Liver,SCT:10200004"
_UNUSED = "custom.segments of the metadata is not used"
_SHOWN = 8


@dataclass(frozen=True)
class Segment:
    """One label of a mask.

    :param number: its value in the array, 1 to 65535; with channels, which one it is, from 1.
    :param name: for people, 1 to 64 characters without backslashes and control characters.
    :param scheme: of ``code``, such as ``SCT`` for SNOMED CT.
    :param code: of the anatomical structure, whose meaning is ``name``.
    :param color: red, green and blue (sRGB), 0 to 255, to show it in.
    :raises ValueError: if DICOM cannot hold it.
    """

    number: int
    name: str
    scheme: str = ""
    code: str = ""
    color: Color | None = None

    def __post_init__(self) -> None:
        if not _is_whole(self.number, 1, 2**16 - 1):
            raise ValueError("number: expected a whole number from 1 to 65535")
        name = self.name
        if not name.strip() or len(name) > LONGEST_NAME or any(map(is_forbidden, name)):
            raise ValueError(
                f"label: expected a text of 1 to {LONGEST_NAME} characters without backslashes and "
                "control characters"
            )
        if self.scheme or self.code:
            _parse_code(f"{self.scheme}:{self.code}")
        if self.color is not None and not _is_color(self.color):
            raise ValueError('color: expected three numbers from 0 to 255, or "#RRGGBB"')

    @classmethod
    def parse(cls, text: str) -> Segment:
        """Read ``NUMBER=NAME`` or ``NUMBER=NAME,SCHEME:CODE``.

        :raises ValueError: if it is not of that form.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError(_HELP)
        try:
            code = _parse_code(match[3]) if match[3] else ()
            return cls(int(match[1]), match[2].strip(), *code)
        except ValueError as error:
            raise ValueError(f"{_HELP} ({error})") from None


def find_declared_segments(
    metadata: Mapping[str, object], output: str
) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """Return the segments that ``custom.segments`` of a model's metadata declares for an output.

    :param output: name of the output; entries without a name are for every output.
    :returns: the segments, and a remark for each entry that cannot be used.
    """
    custom = metadata.get("custom")
    entries = custom.get("segments") if isinstance(custom, Mapping) else None
    if entries is None:
        return (), ()
    if not isinstance(entries, list) or len(entries) > MAX_SEGMENTS:
        got = f"one of {len(entries)}" if isinstance(entries, list) else type(entries).__name__
        return (), (f"{_UNUSED}: expected a list of at most {MAX_SEGMENTS} objects, got {got}",)
    known = {each.name for each in Metadata.parse(metadata).outputs or ()}
    segments: dict[int, Segment] = {}
    problems = []
    for index, entry in enumerate(entries):
        read = _read_entry(entry, output, known)
        if isinstance(read, Segment) and segments.setdefault(read.number, read) != read:
            read = f"number: {read.number} is described before"
        if isinstance(read, str):
            problems.append(f"custom.segments[{index}] of the metadata is not used: {read}")
    if len(problems) > _SHOWN:
        problems[_SHOWN:] = [f"{len(problems) - _SHOWN} more of custom.segments are not used"]
    return tuple(segments.values()), tuple(problems)


def override(declared: Iterable[Segment], given: Iterable[Segment]) -> tuple[Segment, ...]:
    """Return declared segments, those whose numbers are given replaced; colours are kept."""
    merged = {each.number: each for each in declared}
    for segment in given:
        known = merged.get(segment.number, segment)
        merged[segment.number] = replace(segment, color=segment.color or known.color)
    return tuple(merged.values())


def _read_entry(entry: object, output: str, known: Collection[str]) -> Segment | str | None:
    """Read one entry: a segment, or what is wrong with it; ``None`` if it is for another output."""
    if not isinstance(entry, Mapping):
        return f"expected an object, got {type(entry).__name__}"
    wanted = entry.get("output")
    if wanted is not None and (not isinstance(wanted, str) or (known and wanted not in known)):
        return "output: the model has no output of that name"
    label, code, color = entry.get("label"), entry.get("code"), entry.get("color")
    try:
        segment = Segment(
            entry.get("number", 0),
            label.strip() if isinstance(label, str) else "",
            *(("", "") if code is None else _parse_code(code)),
            _parse_color(color),
        )
    except ValueError as error:
        return str(error)
    return segment if wanted in (None, output) else None


def is_forbidden(character: str) -> bool:
    """Whether a DICOM Long String cannot hold a character."""
    return character == "\\" or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def _parse_code(value: object) -> tuple[str, str]:
    match = _CODE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("code: expected SCHEME:CODE, such as SCT:10200004")
    return match[1], match[2]


def _parse_color(value: object) -> Any:
    """Return a colour as :class:`Segment` takes it, if it is one; :class:`Segment` checks."""
    if isinstance(value, str) and (match := _COLOR.fullmatch(value)):
        return tuple(int(part, 16) for part in match.groups())
    return tuple(value) if isinstance(value, list) else value


def _is_color(value: object) -> bool:
    if not isinstance(value, tuple) or len(value) != 3:
        return False
    return all(_is_whole(part, 0, 255) for part in value)


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
