"""What a check finds, and how a check is written.

A check is one function from the facts to what it finds. Its name is the finding's name, its
docstring says what it finds, and the decorator says what happens then and what to do::

    @AREA.check(WARNING, effect="A body above it is refused.", remedy="max_request_size={bytes}")
    def request_limit_stock(facts: Facts) -> Iterator[Found]:
        \"\"\"Find ``max_request_size`` as it comes.\"\"\"
        if facts.number("max_request_size") == STOCK:
            yield Found("max_request_size is 6553500 bytes", bytes=512 * MIB)
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

#: Does not work, or lets anyone in.
ERROR = "error"
#: Works until something happens that is to be expected.
WARNING = "warning"
#: Worth knowing; no reason to change anything by itself.
NOTE = "note"
SEVERITIES = (ERROR, WARNING, NOTE)

Facts = TypeVar("Facts")


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

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
    """What a check yields: what was found, and what the finding's remedy has to name.

    :param what: a sentence without its full stop.
    :param severity: where it is not the one that the check has in general.
    :param values: for the fields of the remedy.
    """

    def __init__(self, what: str, *, severity: str | None = None, **values: object) -> None:
        self.what = what
        self.severity = severity
        self.values = values


@dataclass(frozen=True)
class Check(Generic[Facts]):
    """One check: the function, and what is the same for all that it finds."""

    name: str
    severity: str
    looks_for: str
    effect: str
    remedy: str
    run: Callable[[Facts], Iterator[Found]]

    def findings(self, facts: Facts) -> Iterator[Finding]:
        """Run it."""
        for found in self.run(facts):
            severity = found.severity or self.severity
            remedy = self.remedy.format(**{name: _word(it) for name, it in found.values.items()})
            yield Finding(severity, self.name, found.what, self.effect, remedy)


def _word(value: object) -> object:
    """Return a value as a shell takes it for one word: a remedy may be a command to copy."""
    return shlex.quote(str(value)) if isinstance(value, (str, Path)) else value


@dataclass
class Area(Generic[Facts]):
    """The checks that share one kind of facts."""

    checks: list[Check[Facts]] = field(default_factory=list)

    def check(
        self, severity: str, *, effect: str, remedy: str
    ) -> Callable[[Callable[[Facts], Iterator[Found]]], Callable[[Facts], Iterator[Found]]]:
        """Make a function a check of this area; see the module's text."""

        def _register(run: Callable[[Facts], Iterator[Found]]) -> Callable[..., Iterator[Found]]:
            name = run.__name__.replace("_", "-")
            looks_for = " ".join((run.__doc__ or "").split()).removeprefix("Find ")
            self.checks.append(Check(name, severity, looks_for, effect, remedy, run))
            return run

        return _register


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

    def run(self, area: Area[Any], facts: Any) -> None:
        """Run all checks of an area; one that cannot look is told, and hinders no other."""
        for check in area.checks:
            try:
                self.findings += check.findings(facts)
            except OSError as error:  # noqa: PERF203 - one must not hinder the others
                where = f" {error.filename}" if error.filename else ""
                self.unexamined.append(f"{check.name}:{where} {error.strerror or error}")

    def sort(self) -> None:
        """Put the worst first; what is equally bad stays as it was found."""
        self.findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))

    @property
    def status(self) -> int:
        """The exit status: 0 no error and no warning, 1 some, 2 could not examine."""
        if not self.examined:
            return 2
        return int(any(finding.severity != NOTE for finding in self.findings))
