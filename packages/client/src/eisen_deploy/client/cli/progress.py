"""Bars on a terminal for transfers that take long; nothing in a pipe, and nothing without tqdm."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eisen_deploy.client import Progress

#: Seconds after which a bar appears.
_DELAY = 0.5


class Bars:
    """One bar for sending, a line while the model runs, and one bar for receiving.

    :param tqdm: makes a bar.
    """

    def __init__(self, tqdm: Any) -> None:
        self._tqdm = tqdm
        self._step = ""
        self._bar: Any = None

    def __call__(self, progress: Progress) -> None:
        """Show how far a call has come."""
        if progress.received:
            self._show("receive", progress.received, progress.to_receive)
        elif progress.sent < progress.to_send:
            self._show("send", progress.sent, progress.to_send)
        else:
            self._show("wait for the model", 0, None)

    def close(self) -> None:
        """Take the last bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _show(self, step: str, done: int, total: int | None) -> None:
        if step != self._step:
            self.close()
            self._step, self._bar = step, self._new(step, total)
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def _new(self, step: str, total: int | None) -> Any:
        waits = step.startswith("wait")
        columns, lines = shutil.get_terminal_size()  # tqdm shows nothing where a size is missing
        return self._tqdm(
            total=total,
            desc=step,
            unit="B",
            unit_scale=True,
            leave=False,
            bar_format="{desc} ..." if waits else None,
            delay=0 if waits else _DELAY,
            file=sys.stderr,
            ncols=columns,
            nrows=lines,
        )


@contextmanager
def bars() -> Iterator[Bars | None]:
    """Give bars for the time of a call, and ``None`` where nobody would see them."""
    tqdm = _tqdm() if sys.stderr.isatty() else None
    if tqdm is None:
        yield None
        return
    shown = Bars(tqdm)
    try:
        yield shown
    finally:
        shown.close()


def _tqdm() -> Any:
    try:
        return importlib.import_module("tqdm").tqdm
    except ImportError:
        return None
