"""How far a long task is: the steps that ``progress=`` is told of."""

from __future__ import annotations

from collections.abc import Callable

#: Called with the name of a step, what of it is done, and all of it: bytes, or both 0 if unknown.
Progress = Callable[[str, int, int], None]


class Steps:
    """Tells whoever wants to know.

    :param progress: what to call; ``None`` for nobody.
    """

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress

    def begin(self, step: str) -> None:
        """Tell of a step whose length nobody knows."""
        if self._progress is not None:
            self._progress(step, 0, 0)

    def counter(self, step: str, total: int) -> Callable[[int], None]:
        """Tell of a step of so many bytes; the result is called with each number of them done."""
        done = 0

        def count(more: int) -> None:
            nonlocal done
            done += more
            if self._progress is not None:
                self._progress(step, done, total)

        count(0)
        return count
