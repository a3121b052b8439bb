"""How far a call is, as steps of a bar: sending, waiting for the model, receiving."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from eisen_deploy.client._shared.command.progress import open_bars

if TYPE_CHECKING:
    from eisen_deploy.client import Progress


@contextmanager
def show_progress() -> Iterator[Callable[[Progress], None] | None]:
    """Give what shows the progress of a call, and ``None`` where nobody would see it."""
    with open_bars() as bars:
        yield None if bars is None else lambda progress: bars(*name_step(progress))


def name_step(progress: Progress) -> tuple[str, int, int | None]:
    """Return the step of a call, and how many of how many bytes are done."""
    if progress.received:
        return "receive", progress.received, progress.to_receive
    if progress.sent < progress.to_send:
        return "send", progress.sent, progress.to_send
    return "wait for the model", 0, 0
