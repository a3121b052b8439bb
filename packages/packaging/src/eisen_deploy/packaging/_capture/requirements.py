"""``requirements=``: what a user says that a server has to have installed."""

from __future__ import annotations

from collections.abc import Iterable

from eisen_deploy.packaging._errors import InvalidRequirements
from eisen_deploy.packaging._shared.archive.requirements import requirement_problem
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name


def read_requirements(requirements: Iterable[str] | None) -> dict[str, Requirement]:
    """Return the argument ``requirements`` by the canonical name of each distribution.

    :raises InvalidRequirements: with each that is not a requirement (:pep:`508`), or given twice.
    """
    if requirements is None:
        return {}
    if isinstance(requirements, str) or not isinstance(requirements, Iterable):
        got = type(requirements).__name__
        raise InvalidRequirements(f"requirements: expected a list of texts, got {got}")
    problems: list[str] = []
    found: dict[str, Requirement] = {}
    for index, text in enumerate(requirements):
        try:
            requirement = Requirement(text)
        except (InvalidRequirement, TypeError):
            problems.append(
                f"requirements[{index}]: expected a text such as 'scipy==1.16.0', got {text!r}"
            )
            continue
        if problem := requirement_problem(str(requirement)):
            problems.append(f"requirements[{index}]: {problem}")
        if found.setdefault(canonicalize_name(requirement.name), requirement) is not requirement:
            problems.append(f"requirements[{index}]: {requirement.name} is given twice")
    if problems:
        raise InvalidRequirements(problems)
    return found
