"""Bars on a terminal for steps that take long; nothing in a pipe."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Bars:
    """One bar for each step that it is told of, on the standard error.

    A step of 0 bytes has no known length, and only its name is shown.
    """

    def __init__(self) -> None:
        self._step = ""
        self._bar: Any = None

    def __call__(self, step: str, done: int, total: int) -> None:
        """Show that so many bytes of a step are done."""
        if (step, total) != (self._step, self._bar.total if self._bar is not None else None):
            self.close()
            self._step, self._bar = step, _bar(step, total)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Take the last bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


@contextmanager
def bars() -> Iterator[Bars | None]:
    """Give bars for the time of a task, and ``None`` where nobody would see them."""
    if not sys.stderr.isatty():
        yield None
        return
    shown = Bars()
    try:
        yield shown
    finally:
        shown.close()


def _bar(step: str, total: int) -> Any:
    from tqdm import tqdm  # type: ignore[import-untyped] # noqa: PLC0415 - on a terminal only

    form = None if total else "{desc} ..."
    columns, lines = shutil.get_terminal_size()  # tqdm shows nothing on a terminal without a size
    return tqdm(
        total=total,
        desc=step,
        unit="B",
        unit_scale=True,
        leave=False,
        bar_format=form,
        file=sys.stderr,
        ncols=columns,
        nrows=lines,
    )
