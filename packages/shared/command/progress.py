"""Bars on a terminal for steps that take long; nothing in a pipe, and nothing without tqdm."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Optional, Protocol


class _Bar(Protocol):
    """What is used of ``tqdm.tqdm``: how many bytes of how many are done."""

    n: int
    total: Optional[int]

    def update(self, n: int) -> object: ...

    def close(self) -> object: ...


class Bars:
    """One bar at a time, on the standard error: that of the step which goes on.

    :param make_bar: makes a bar, as ``tqdm.tqdm`` does.
    """

    def __init__(self, make_bar: Callable[..., _Bar]) -> None:
        self._make_bar = make_bar
        self._step = ""
        self._bar: Optional[_Bar] = None

    def __call__(self, step: str, done: int, total: Optional[int]) -> None:
        """Show that so many bytes of a step are done.

        :param total: all bytes of the step; ``None`` counts them without an end, and 0 shows the
            name of the step alone.
        """
        if self._bar is None or step != self._step:
            self.close()
            self._step, self._bar = step, self._open(step, total)
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Take the last bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _open(self, step: str, total: Optional[int]) -> _Bar:
        columns, lines = shutil.get_terminal_size()  # tqdm shows nothing where a size is missing
        return self._make_bar(
            total=total,
            desc=step,
            unit="B",
            unit_scale=True,
            leave=False,
            bar_format="{desc} ..." if total == 0 else None,
            file=sys.stderr,
            ncols=columns,
            nrows=lines,
        )


@contextmanager
def open_bars() -> Iterator[Optional[Bars]]:
    """Give bars for the time of a task, and ``None`` where nobody would see them."""
    shown = None
    if sys.stderr.isatty():
        with suppress(ImportError):
            shown = Bars(importlib.import_module("tqdm").tqdm)
    try:
        yield shown
    finally:
        if shown is not None:
            shown.close()
