"""A stage of packing that fails on demand, named from ``_mar`` on."""

from __future__ import annotations

from eisen_deploy.packaging import _mar


def fail_in(monkeypatch, stage, error):
    def fail(*_, **__):
        raise error

    *owners, name = stage.split(".")
    owner = _mar
    for part in owners:
        owner = getattr(owner, part)
    monkeypatch.setattr(owner, name, fail)
