"""Errors of the caller's own functions, which reach the caller unchanged.

Otherwise an ``OSError`` of theirs would be taken for a failure of the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class CallerError(Exception):
    """Carries what a function of the caller raised."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


@contextmanager
def wrap_caller_errors() -> Iterator[None]:
    """Wrap what is raised inside into :class:`CallerError`."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is
        raise CallerError(error) from None
