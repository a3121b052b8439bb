"""What ``eisen-serve`` asks of an engine, whichever it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from eisen_deploy.serving.runtime._shared.model.serving_options import ServingOptions

from .options import Options
from .served_archives import ServedArchive

_LONGEST_PAUSE = 30.0


class NotReady(RuntimeError):
    """Models did not load, or the server ended.

    :param problems: one sentence for each, with the model's name.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


@dataclass(frozen=True)
class Patience:
    """How long a service waits, and how often it tries again.

    :param startup: seconds that all models have for their first prediction, at each start.
    :param silence: seconds without a sign of life after which what does not end by itself is ended.
    :param starts: that may fail one after the other.
    :param longer: says what makes ``startup`` longer.
    """

    startup: float
    silence: float = 60.0
    starts: int = 5
    longer: str = "--startup-timeout waits longer"

    def for_archive(self, serving: ServingOptions) -> Patience:
        """Return it with an archive's own time for loading, if the archive has one."""
        seconds = serving.startup_timeout
        if seconds is None:
            return self
        longer = "its own serving option startup_timeout gives it longer"
        return replace(self, startup=float(seconds), longer=longer)

    def pause_after(self, failures: int) -> float:
        """Return the seconds to wait after so many failed starts."""
        return min(2.0**failures, _LONGEST_PAUSE)


@dataclass(frozen=True)
class Setup:
    """Everything that a service is made of; all of it has been checked.

    :param gpus: that the server's torch can use.
    :param python: the interpreter of the server's environment.
    :param folder: where configuration, keys and logs go.
    :param private: a folder that is removed at the end: the verified copies lie in it.
    :param say: is called with a line for each thing that happens.
    """

    options: Options
    archives: Sequence[ServedArchive]
    gpus: int
    python: str
    folder: Path
    private: Path
    patience: Patience
    say: Callable[[str], None]


class Service(Protocol):
    """Archives on a server, from its start to its end."""

    @property
    def addresses(self) -> Mapping[str, str]:
        """Where operators look, beside the models' own addresses: by what is there."""

    def start(self) -> None:
        """Start, and wait until every model has predicted its sample.

        :raises NotReady: if one does not load, or the server ends.
        """

    def keep(self, started: Callable[[], None]) -> None:
        """Serve, until an exception ends it; what ends by itself is started again.

        :param started: is called when the server has a new token.
        :raises NotReady: if it cannot be started any more.
        """

    def token(self) -> str | None:
        """Return what clients have to send; ``None`` without tokens."""

    def kill(self) -> None:
        """End all processes at once; :meth:`stop` still has to be called."""

    def stop(self) -> None:
        """Stop everything."""


class Engine(Protocol):
    """A kind of server."""

    @property
    def name(self) -> str:
        """How people call it."""

    def find_problems(self, options: Options, archives: int, python: str) -> Iterator[str]:
        """Yield which options it cannot follow, with as many archives; it takes no time.

        :param python: the interpreter of the server's environment; it is not started.
        """

    def list_ports(self, options: Options) -> Mapping[str, tuple[str, int]]:
        """Return host and port of what it listens on, by the option that sets the port."""

    def find_response_timeout(self, archive: ServedArchive, options: Options) -> int:
        """Return the seconds for an answer of one model: its archive may say them."""

    def check_environment(self, python: str) -> int:
        """Check that an environment has what it needs, and return the number of GPUs there.

        :raises UnfitEnvironment: with what is missing, and how to install it.
        """

    def check_setup(self, setup: Setup) -> None:
        """Check what shows only once all is known; nothing has been written to the folder yet.

        :raises Refused: if it cannot be started so.
        """

    def make_service(self, setup: Setup) -> Service:
        """Write what the server reads, and return it; it is not started."""
