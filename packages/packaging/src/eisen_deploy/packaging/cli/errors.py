"""Errors of the command line, beside those of packing and of the contract."""

from __future__ import annotations

from collections.abc import Iterable


class Failed(Exception):
    """A command cannot be carried out.

    :param problems: one sentence for each thing that is wrong.
    """

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("; ".join(self.problems))


class NotSound(Failed):
    """An archive was verified, and is not as it should be."""
