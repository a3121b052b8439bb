"""Whether what archives require is installed in a Python environment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping


def parse_name(requirement: str) -> str:
    """Return the distribution that a line of requirements is about."""
    return re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0]


def find_unmet(
    requirements: Iterable[str], installed: Mapping[str, str | None]
) -> dict[str, str | None]:
    """Return the requirements that are not met, each with the version that is there instead.

    Of versions, only those that are pinned (``==``) are compared, without the label of a build. A
    requirement with a marker, which holds in some environments only, counts as met.

    :param installed: the version of each distribution by :func:`parse_name`; ``None`` for none.
    """
    unmet = {}
    for requirement in requirements:
        version = installed.get(parse_name(requirement))
        wanted = requirement.partition("==")[2].strip()
        same = not wanted or (version or "").partition("+")[0] == wanted.partition("+")[0]
        if ";" not in requirement and (version is None or not same):
            unmet[requirement] = version
    return unmet
