"""How much memory, and so how much work, one message may cost beyond the bytes of its body.

Arrays are views of the body. Everything else becomes Python objects, and one byte of a body can
ask for fifty bytes of them. So they are counted before they are made, for a whole message together.

The costs are upper bounds, measured on CPython 3.9 to 3.13: what an object takes itself, its
place in what holds it, and what is there only while it is made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..errors import BodyTooLarge

MIB = 2**20
#: Memory in bytes that the lists, texts and single values of a message may take.
MAX_OBJECTS = 192 * MIB

# Bytes of memory for what stands in JSON: by the mark that each of them needs.
_LIST = 160  # more than its memory: it is slow to make, and to collect
_JSON = {b",": 40, b"[": _LIST, b"{": 80, b":": 200, b'"': 32}
# For each byte of text: one letter that is not ASCII makes all of a text four times as large.
_ASCII, _WIDE = 1, 5
# An element of BYTES: as bytes, as str, in a list and in an array.
_ELEMENT = 136


class Allowance:
    """What a message may still take.

    :param objects: bytes of memory for objects of Python; ``None`` for no limit.
    :param arrays: bytes of memory for copies of arrays; what goes beyond counts as objects do.
    """

    def __init__(self, objects: int | None = MAX_OBJECTS, arrays: int = 0) -> None:
        self._objects = self._left = objects
        self._arrays = max(arrays, 0)

    def take(self, memory: int, what: str, remedy: str = "send numbers as binary tensors") -> None:
        """Take memory for objects.

        :param what: what takes it, as an error names it.
        :param remedy: what the sender can do, as the error says it.
        :raises BodyTooLarge: if that is more than is left.
        """
        if self._left is None or self._objects is None:
            return
        self._left -= memory
        if self._left < 0:
            raise BodyTooLarge(
                f"with {what} the message takes more than {self._objects / MIB:.0f} MiB of memory "
                f"beside its arrays: {remedy}"
            )

    def take_array(self, memory: int, what: str, remedy: str) -> None:
        """Take memory for an array that is not a view of the body; errors as of :meth:`take`."""
        granted = min(memory, self._arrays)
        self._arrays -= granted
        self.take(memory - granted, what, remedy)

    def take_json(self, raw: bytes, what: str) -> None:
        """Take memory for the most that a JSON text can hold, without parsing it."""
        if self._left is None:
            return
        text = len(raw) * (_ASCII if raw.isascii() else _WIDE)
        self.take(text + sum(cost * raw.count(mark) for mark, cost in _JSON.items()), what)

    def take_elements(self, count: int, what: str) -> None:
        """Take memory for so many elements of a BYTES tensor, beside their letters."""
        self.take(_ELEMENT * count, what)

    def take_lists(self, shape: Sequence[int], each: int, what: str) -> None:
        """Take memory for the nested lists that an array of a shape becomes.

        :param each: bytes of memory for one of its elements.
        """
        lists = sum(math.prod(shape[:axis]) for axis in range(len(shape)))
        self.take(_LIST * lists + each * math.prod(shape), what)


#: For messages that this program made itself.
UNLIMITED = Allowance(None)
