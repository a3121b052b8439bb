"""The code that model and transforms need: copied, required, or refused.

``needed_modules`` lists what they import, of pickles with ``pickle_references``. ``decisions`` says
for each module where a server will find it: ``module_search`` finds its file here, ``installed``
the distribution that it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from eisen_deploy.packaging._errors import UnresolvedCode
from packaging.requirements import Requirement

from . import installed
from .decisions import SERVER, Captured, Decider
from .needed_modules import Need, find_needs_of_handler, find_needs_of_pickle

__all__ = [
    "Captured",
    "Need",
    "capture",
    "find_needs_of_handler",
    "find_needs_of_pickle",
    "pin_requirements",
]


def capture(
    wanted: Iterable[Need], given: Mapping[str, Path], stated: Mapping[str, Requirement]
) -> Captured:
    """Decide for each module that is needed, and read the sources that travel.

    :param given: modules that the user put into the archive, with their files here.
    :param stated: the user's own requirements by canonical name.
    :raises UnresolvedCode: with every module that no server would find.
    """
    installed.forget_if_changed()
    captured = Decider(given, stated).decide(wanted)
    if captured.problems:
        raise UnresolvedCode(captured.problems)
    return captured


def pin_requirements(captured: Captured, stated: Mapping[str, Requirement]) -> list[str]:
    """Return what a server has to have installed, with all that this needs in turn.

    Each distribution has the version that is installed here, unless the user states another.
    """
    wanted = [stated.get(name) or Requirement(name) for name in sorted(captured.distributions)]
    closure = installed.collect_with_dependencies(wanted, without=SERVER)
    names = sorted({*closure, *stated})
    return [_pin(name, stated.get(name) or Requirement(name)) for name in names]


def _pin(name: str, requirement: Requirement) -> str:
    if requirement.specifier or requirement.url or not installed.is_installed(name):
        return str(requirement)
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    marker = f"; {requirement.marker}" if requirement.marker else ""
    return f"{name}{extras}=={installed.get_version(name)}{marker}"
