"""The code that model and transforms need: copied, required, or refused.

``references`` reads what pickles import, ``imports`` what source imports; ``needs`` puts both into
one list, and ``decide`` follows it: ``locate`` tells where a module comes from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from eisen_deploy.packaging._errors import UnresolvedCode
from packaging.requirements import Requirement

from . import installed
from .decide import SERVER, Captured, Decider
from .needs import Need, of_handler, of_pickle

__all__ = ["Captured", "Need", "capture", "of_handler", "of_pickle", "pinned"]


def capture(
    wanted: Iterable[Need], given: Mapping[str, Path], stated: Mapping[str, Requirement]
) -> Captured:
    """Decide for each module that is needed, and read the sources that travel.

    :param given: modules that the user put into the archive, with their files here.
    :param stated: the user's own requirements by canonical name.
    :raises UnresolvedCode: with every module that no server would find.
    """
    installed.refresh()
    captured = Decider(given, stated).decide(wanted)
    if captured.problems:
        raise UnresolvedCode(captured.problems)
    return captured


def pinned(captured: Captured, stated: Mapping[str, Requirement]) -> list[str]:
    """Return what a server has to have installed, with all that this needs in turn.

    Each distribution has the version that is installed here, unless the user states another.
    """
    wanted = [stated.get(name) or Requirement(name) for name in sorted(captured.distributions)]
    closure = installed.closure_of(wanted, without=SERVER)
    names = sorted({*closure, *stated})
    return [_pin(name, stated.get(name) or Requirement(name)) for name in names]


def _pin(name: str, requirement: Requirement) -> str:
    if requirement.specifier or requirement.url or not installed.is_installed(name):
        return str(requirement)
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    marker = f"; {requirement.marker}" if requirement.marker else ""
    return f"{name}{extras}=={installed.version_of(name)}{marker}"
