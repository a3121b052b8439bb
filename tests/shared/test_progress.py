"""Bars of steps that take long: one at a time, on a terminal only."""

from __future__ import annotations

import sys

from eisen_deploy.client._shared.command import progress


def test_steps_become_bars():
    shown = []

    class Bar:
        def __init__(self, desc, total, **_):
            self.n, self.total, self.step = 0, total, desc

        def update(self, more):
            self.n += more
            shown.append((self.step, self.n, self.total))

        def close(self):
            shown.append((self.step, "closed"))

    bars = progress.Bars(Bar)
    for step in [
        ("collect", 0, 0),
        ("write", 0, 10),
        ("write", 4, 10),
        ("write", 10, 10),
        ("receive", 2, None),
        ("receive", 4, 5),
    ]:
        bars(*step)
    bars.close()
    bars.close()
    assert shown == [
        ("collect", 0, 0),
        ("collect", "closed"),
        ("write", 0, 10),
        ("write", 4, 10),
        ("write", 10, 10),
        ("write", "closed"),
        ("receive", 2, None),
        ("receive", 4, 5),
        ("receive", "closed"),
    ]


def test_without_tqdm_or_a_terminal_there_are_no_bars(monkeypatch):
    with progress.open_bars() as shown:
        assert shown is None
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress.open_bars() as shown:
        assert shown is not None
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with progress.open_bars() as shown:
        assert shown is None
