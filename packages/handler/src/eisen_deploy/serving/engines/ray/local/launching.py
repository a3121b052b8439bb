"""The driver of a local Ray as a process that is guarded and started again."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace

from eisen_deploy.serving.engines.engine import NotReady, Setup
from eisen_deploy.serving.engines.keys import write_private
from eisen_deploy.serving.engines.processes.supervision import Supervision, Worker
from eisen_deploy.serving.engines.served_archives import BadArchives, check_copies

from .daemons import VARIABLES
from .work import Work

# What a stop takes beyond the requests under way.
_GRACE = 30.0


class RayDriver(Supervision):
    """Archives on a Ray of their own.

    :param work: what the driver is told; its link is filled in here.
    :param variables: further environment variables of all processes.
    """

    kind = "Ray driver"
    log_name = "ray.log"

    def __init__(
        self, setup: Setup, work: Work, timeout: float, variables: Mapping[str, str]
    ) -> None:
        sampled = all(archive.sample for archive in setup.archives)
        self._token = setup.private / "ray_token"
        super().__init__(
            setup,
            ", ".join(archive.url_part for archive in setup.archives),
            "samples predicted" if sampled else "loaded (not all have a sample)",
            count=1,
            grace=timeout + _GRACE,
            patience=setup.patience,
            variables={**VARIABLES, "RAY_AUTH_TOKEN_PATH": str(self._token), **variables},
        )
        self._work = work

    def _prepare(self) -> None:
        write_private(self._token, secrets.token_urlsafe(32))
        try:
            check_copies(self._setup.archives)
        except BadArchives as error:
            raise NotReady(error.problems) from None

    def _make_command(self, worker: Worker, link: int) -> tuple[Sequence[str], Sequence[int]]:
        del worker
        work = replace(self._work, link=link)
        return [self._setup.python, "-m", f"{__package__}.driver", work.to_json()], []

    def _environment(self) -> dict[str, str]:
        """Return it without the user's variables of Ray, which are for another one."""
        return {
            name: value
            for name, value in super()._environment().items()
            if not name.startswith("RAY_") or name in self._variables or _is_of_serve(name)
        }


def _is_of_serve(name: str) -> bool:
    return name.startswith("RAY_SERVE_")
