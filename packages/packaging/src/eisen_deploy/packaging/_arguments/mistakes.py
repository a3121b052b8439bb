"""All mistakes in the arguments of one call, raised together."""

from __future__ import annotations

from types import TracebackType

from eisen_deploy.packaging._errors import EisenPackagingError, InvalidArgument


class Mistakes:
    """Collects the errors that are raised in its ``with`` blocks.

    A value that was made in such a block is there only after :meth:`raise_all`.
    """

    def __init__(self) -> None:
        self._errors: list[EisenPackagingError] = []

    def __enter__(self) -> None:
        """Begin to parse one argument."""

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> bool:
        """Keep the error if it is one of ours."""
        if isinstance(error, EisenPackagingError):
            self._errors.append(error)
            return True
        return False

    def raise_all(self) -> None:
        """Raise what was collected, if anything.

        :raises EisenPackagingError: a single error as it is; several of one class as that class,
            with the problems of all; several of different classes as :class:`InvalidArgument`.
        """
        if len(self._errors) == 1:
            raise self._errors[0]
        if self._errors:
            kinds = {type(error) for error in self._errors}
            kind = kinds.pop() if len(kinds) == 1 else InvalidArgument
            raise kind(problem for error in self._errors for problem in error.problems)
