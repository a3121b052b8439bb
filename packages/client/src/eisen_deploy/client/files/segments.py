"""What the labels of a mask mean."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FORM = re.compile(r"(\d{1,5})=([^,]+)(?:,([A-Za-z0-9-]{1,16}):([\w.-]{1,16}))?")


@dataclass(frozen=True)
class Segment:
    """One label of a mask.

    :param number: its value in the array, 1 to 65535.
    :param name: for people, at most 64 characters.
    :param scheme: of ``code``, such as ``SCT`` for SNOMED CT.
    :param code: of the anatomical structure, whose meaning is ``name``.
    """

    number: int
    name: str
    scheme: str = ""
    code: str = ""

    @classmethod
    def parse(cls, text: str) -> Segment:
        """Read ``NUMBER=NAME`` or ``NUMBER=NAME,SCHEME:CODE``.

        :raises ValueError: if it is not of that form.
        """
        match = _FORM.fullmatch(text)
        if match is None or not 0 < int(match[1]) < 2**16 or len(match[2].strip()) > 64:
            raise ValueError(
                "expected NUMBER=NAME or NUMBER=NAME,SCHEME:CODE: 1=Liver,SCT:10200004"
            )
        return cls(int(match[1]), match[2].strip(), match[3] or "", match[4] or "")
