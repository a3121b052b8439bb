"""What a check is and what it finds, and the report of an examination.

A check is one function from the facts to what it finds. Its name is the finding's name, its
docstring says what it looks for, and the decorator says what happens then and what to do.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

#: Does not work, or lets anyone in.
ERROR = "error"
#: Works until something happens that is to be expected.
WARNING = "warning"
SEVERITIES = (ERROR, WARNING)

Facts = TypeVar("Facts")
Other = TypeVar("Other")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    :param severity: one of :data:`SEVERITIES`.
    :param name: stable, as in ``request-limit-stock``.
    :param found: what was found, with names, sizes and addresses.
    :param effect: what happens then.
    :param remedy: the line to set, or the command to run.
    """

    severity: str
    name: str
    found: str
    effect: str
    remedy: str


class Found:
    """What a check yields: a sentence without its full stop, and the values for the remedy.

    :param severity: where it differs from the check's own.
    """

    def __init__(self, what: str, *, severity: str | None = None, **values: object) -> None:
        self.what, self.severity = what, severity
        # A remedy may be a command to copy: a text is one word of it, unless it is all of it.
        self.values = {
            name: shlex.quote(str(value))
            if isinstance(value, (str, Path)) and name != "remedy"
            else value
            for name, value in values.items()
        }


Run = Callable[[Facts], Iterator[Found]]


@dataclass(frozen=True)
class Check(Generic[Facts]):
    """One check: the function, and what is the same for all that it finds."""

    severity: str
    effect: str
    remedy: str
    run: Run[Facts]

    @property
    def name(self) -> str:
        """The name of its findings."""
        return self.run.__name__.replace("_", "-")

    def findings(self, facts: Facts) -> Iterator[Finding]:
        """Run it."""
        for found in self.run(facts):
            severity, remedy = found.severity or self.severity, self.remedy.format(**found.values)
            yield Finding(severity, self.name, found.what, self.effect, remedy)


@dataclass
class Area(Generic[Facts]):
    """The checks that look at one kind of facts; each of its decorators adds a function."""

    checks: list[Check[Facts]] = field(default_factory=list)

    def error(self, effect: str, remedy: str) -> Callable[[Run[Facts]], Run[Facts]]:
        """Add a check whose findings are errors, unless they say otherwise."""
        return partial(self._add, ERROR, effect, remedy)

    def warning(self, effect: str, remedy: str) -> Callable[[Run[Facts]], Run[Facts]]:
        """Add a check whose findings are warnings, unless they say otherwise."""
        return partial(self._add, WARNING, effect, remedy)

    def same_as(self, other: Area[Other], name: str) -> Callable[[Run[Facts]], Run[Facts]]:
        """Add a check of something else, with the words of a check of another area."""
        (same,) = [check for check in other.checks if check.name == name]
        return partial(self._add, same.severity, same.effect, same.remedy)

    def _add(self, severity: str, effect: str, remedy: str, run: Run[Facts]) -> Run[Facts]:
        self.checks.append(Check(severity, effect, remedy, run))
        return run


@dataclass
class Report:
    """What an examination gives.

    :param facts: what was seen, as pairs of a name and a text.
    :param unexamined: one sentence for each thing that could not be looked at.
    :param examined: whether there was anything to look at.
    """

    target: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    unexamined: list[str] = field(default_factory=list)
    examined: bool = True

    def run(self, areas: Iterable[Area[Facts]], facts: Facts) -> None:
        """Run all checks of some areas, and put the worst findings first.

        A check that cannot look is reported, and hinders no other.
        """
        for check in (check for area in areas for check in area.checks):
            try:
                self.findings += check.findings(facts)
            except OSError as error:  # noqa: PERF203 - one must not hinder the others
                where = f" {error.filename}" if error.filename else ""
                self.unexamined.append(f"{check.name}:{where} {error.strerror or error}")
        self.findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))

    @property
    def status(self) -> int:
        """The exit status: 0 nothing was found, 1 something was, 2 could not examine."""
        return int(bool(self.findings)) if self.examined else 2
