"""Memory for bodies that are received in one piece."""

from __future__ import annotations

import ctypes


def make_unfilled(size: int) -> bytearray:
    """Return a bytearray whose bytes are whatever lies in memory.

    To fill 64 MiB with zeros takes longer than to receive them.

    Source: ``PyByteArray_FromStringAndSize``, which fills only from a pointer that is not NULL.
    """
    array: bytearray = _from_string_and_size(None, size)
    return array


_from_string_and_size = ctypes.pythonapi.PyByteArray_FromStringAndSize
_from_string_and_size.argtypes = [ctypes.c_char_p, ctypes.c_ssize_t]
_from_string_and_size.restype = ctypes.py_object
