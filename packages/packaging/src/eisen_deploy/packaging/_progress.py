"""How far a long task is: the steps that are reported to ``progress=``."""

from __future__ import annotations

from collections.abc import Callable

from ._errors import InvalidArgument

#: Called with the name of a step, what of it is done, and all of it: bytes, or both 0 if unknown.
Progress = Callable[[str, int, int], None]


class Steps:
    """Reports the steps of one task.

    :param progress: what to call, if anything.
    :raises InvalidArgument: if it cannot be called.
    """

    def __init__(self, progress: Progress | None) -> None:
        if progress is not None and not callable(progress):
            raise InvalidArgument(
                f"progress: expected a callable or None, got {type(progress).__name__}"
            )
        self._progress = progress

    def begin(self, step: str) -> None:
        """Report a step whose length nobody knows."""
        if self._progress is not None:
            self._progress(step, 0, 0)

    def counter(self, step: str, total: int) -> Callable[[int], None]:
        """Report a step of so many bytes; the result is called with each number of them done.

        Reported are its start, its end, and each further hundredth between them.
        """
        done, reported = 0, -total

        def count(more: int) -> None:
            nonlocal done, reported
            done += more
            if self._progress is not None and (done >= total or 100 * (done - reported) >= total):
                reported = done
                self._progress(step, done, total)

        count(0)
        return count
