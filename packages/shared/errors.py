"""What can be wrong with a body or a batch.

::

    ContractError
    ├── MalformedBody        400  not a body of the protocol
    │   └── BodyTooLarge     413  a part of it is over its cap
    ├── InvalidInput         422  well formed, but against the metadata
    ├── UnsupportedValue     500  a value that has no form on the wire
    └── CorruptArchive            the files of an archive are not those that were packed

They never leave a distribution: each of the three raises its own public errors instead.
"""

from __future__ import annotations

from collections.abc import Iterable

_SHOWN = 10  # problems of an archive in one message


class ContractError(Exception):
    """Base of the errors of the contract.

    :param problems: one sentence for each thing that is wrong; never a value of the data.
    """

    status = 500

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("; ".join(self.problems))

    @property
    def type(self) -> str:
        """The value of ``type`` in an error's JSON body."""
        return type(self).__name__


class MalformedBody(ContractError):
    """The bytes are not a body of the protocol."""

    status = 400


class BodyTooLarge(MalformedBody):
    """A part of the body is over its cap."""

    status = 413


class InvalidInput(ContractError):
    """The body is well formed, but goes against the metadata of the model."""

    status = 422


class UnsupportedValue(ContractError):
    """A value that cannot be sent: it has no form on the wire."""


class CorruptArchive(ContractError):
    """The files of an archive are not those that were packed."""


def refuse_if(problems: list[str]) -> None:
    """Raise the problems of an archive, if there are any; of a long list, only the first ones.

    :raises CorruptArchive: with the problems.
    """
    if len(problems) > _SHOWN:
        problems = [*problems[:_SHOWN], f"and {len(problems) - _SHOWN} more problems"]
    if problems:
        raise CorruptArchive(problems)
