"""An unpacked archive behind an application: what each worker, or each replica, runs."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from eisen_deploy.serving.runtime._shared.archive.allowed_values import ENTRY, MODEL_FILES
from eisen_deploy.serving.runtime.archive.verification import verify
from eisen_deploy.serving.runtime.errors import LoadFailed

from .application import Application, Model
from .batcher import Batcher
from .metrics import PrometheusCounters
from .settings import Settings

if TYPE_CHECKING:
    from eisen_deploy.serving.runtime._shared.model.serving_options import ServingOptions
    from eisen_deploy.serving.runtime.answering.counters import CountedRequest
    from eisen_deploy.serving.runtime.answering.limits import Limits

_log = logging.getLogger("eisen_deploy.serving")


@dataclass(frozen=True)
class Served:
    """A model that is loaded: the application, and the queue that some thread has to run."""

    application: Application
    batcher: Batcher


class ShownCounters(Protocol):
    """Counters that ``/metrics`` shows."""

    def count(self, requests: Sequence[CountedRequest], seconds: Mapping[str, float]) -> None:
        """Count a batch, as :class:`~eisen_deploy.serving.runtime.answering.counters.Counters`."""

    def render(self) -> bytes:
        """Return what ``/metrics`` answers.

        :raises ServingError: if something else shows them.
        """


def serve_archive(
    folder: Path,
    settings: Settings,
    *,
    gpu_id: int | None = None,
    workers: int | None = None,
    on_main_thread: bool = True,
    make_counters: Callable[[str, str], ShownCounters] = PrometheusCounters,
) -> Served:
    """Open an archive by the runtime that it brings, and put it behind an application.

    Its code stays imported, so a process can do this with one archive only.

    :param folder: of the unpacked archive.
    :param gpu_id: number of the GPU to run on; ``None`` for the CPU.
    :param workers: processes that share this machine's cores, if that is known.
    :param on_main_thread: whether it is there that the batcher runs.
    :param make_counters: returns the counters of a model, given its name and its version.
    :raises LoadFailed: if it is not what was packed, cannot be loaded here, or answers its sample
        in another way than where it was packed.
    """
    # By what is installed, before any code of the archive is imported; the session checks the
    # model's content itself before it reads it.
    about = verify(folder, later=set(MODEL_FILES.values()))
    if about.entry != ENTRY:  # the runtime would answer in that handler's place, and otherwise
        raise LoadFailed(
            f"its handler {about.entry} is TorchServe's, and no EisenServingHandler: only "
            "TorchServe can serve it"
        )
    sys.path.insert(0, str(folder))
    runtime = importlib.import_module("_eisen_serving.session")
    name, version = about.model.name, about.model.version
    counters = make_counters(name, version)
    session = runtime.InferenceSession.open(
        folder,
        gpu_id=gpu_id,
        workers=workers,
        limits=lambda options: _make_limits(options, settings),
        counters=counters,
        interrupt=None if on_main_thread else _make_thread_interrupt(),
    )
    options = session.handler.archive.options
    problem = session.batch_problem
    if problem is not None and (options.batch_size or 1) > 1:
        _log.info("the requests of a batch run one by one: %s", problem)
    batcher = Batcher(
        session.answer,
        size=(options.batch_size or 1) if problem is None else 1,
        delay=(options.batch_delay or 0) / 1000,
        queue=settings.queue,
        timeout=settings.find_response_timeout(options),
    )
    model = Model(name, version, session.handler.metadata, runtime.Request)
    return Served(Application(model, batcher, settings, counters.render), batcher)


def _make_thread_interrupt() -> object:
    return importlib.import_module("_eisen_serving.answering.interrupts").ThreadInterrupt()


def _make_limits(options: ServingOptions, settings: Settings) -> Limits:
    """Return what a session may take, in the terms of its own runtime."""
    limits = importlib.import_module("_eisen_serving.answering.limits")
    budget = importlib.import_module("_eisen_serving.answering.budget")
    timeout = settings.find_response_timeout(options)
    made: Limits = limits.Limits(
        reply=settings.max_body,
        reply_setting=f"the server's {settings.max_body_setting} is {settings.max_body}",
        seconds=budget.leave_margin(timeout),
        seconds_setting=f"the response timeout is {timeout:g} s",
        request=settings.max_body,
    )
    return made
