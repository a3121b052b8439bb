"""The page with the table of findings is complete, and says what the code says."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path

import pytest

from eisen_deploy.serving.doctor import (
    APPLICATION_AREAS,
    CONFIGURATION_AREAS,
    SCRIPT_AREAS,
    SERVER_AREAS,
    SEVERITIES,
)

AREAS = {
    "A configuration": CONFIGURATION_AREAS,
    "A running server": SERVER_AREAS,
    "A script that starts uvicorn": SCRIPT_AREAS,
    "A running uvicorn": APPLICATION_AREAS,
}
PAGE = Path(__file__).resolve().parents[3] / "docs" / "eisen-serve-doctor.rst"
ROW = re.compile(r"   \* - ``([a-z-]+)``\n     - (\w+)\n     - (.+)\n     - (.+)\n     - (.+)\n")


def rows(area):
    """The rows of one part of the page: (name, severity, what is found, effect, remedy)."""
    titles = "|".join(AREAS)
    parts = re.split(rf"^({titles})\n-+\n", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    return ROW.findall(dict(zip(parts[1::2], parts[2::2], strict=True))[area] + "\n")


def what_is_found(check):
    """What a check says of itself."""
    text = " ".join(check.run.__doc__.split()).removeprefix("Find ")
    return text[:1].upper() + text[1:]


@pytest.mark.parametrize("area", AREAS)
def test_the_page_has_every_finding_and_no_other(area):
    checks = list(chain.from_iterable(part.checks for part in AREAS[area]))
    told = rows(area)
    assert [row[0] for row in told] == [check.name for check in checks]
    for (name, severity, found, effect, remedy), check in zip(told, checks):
        assert severity == check.severity, name
        assert found == what_is_found(check), name
        assert effect.replace("\\*", "*") == check.effect, name
        if check.remedy != "{remedy}":
            assert remedy.strip("`") == check.remedy.replace("{{", "{").replace("}}", "}"), name


@pytest.mark.parametrize("area", AREAS)
def test_names_are_stable_ids_and_tell_no_check_twice(area):
    checks = list(chain.from_iterable(part.checks for part in AREAS[area]))
    names = [check.name for check in checks]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in names)
    assert all(check.severity in SEVERITIES and what_is_found(check) for check in checks)
