"""An application of Ray Serve from its arguments.

Ray reads the type of the builder's parameter, so annotations are no strings here.
"""

import math
from pathlib import Path

from ray import serve
from ray.serve import Application, Deployment

from eisen_deploy.serving.engines.asgi.settings import Settings
from eisen_deploy.serving.engines.machine import measure_machine
from eisen_deploy.serving.engines.served_archives import BadArchives, ServedArchive

from .arguments import Arguments
from .fetching import Cache, Source
from .replica import Replica, Work

# Replicas whose archive cannot be served fail again: Ray need not try that twenty times.
_STARTS = 3
# Seconds beyond the response timeout in which a replica that is replaced still answers.
_GRACE = 10
# The share of a node's memory for bodies: what is made of one takes as much again, or more.
_SHARE = 0.25


def build(arguments: Arguments) -> Application:
    """Return an application that serves archives.

    Each archive is fetched and verified here, where Ray builds the application. Every replica
    fetches it again, unless its node has it, and takes only what was seen here.

    :raises BadArchives: with each archive that cannot be served.
    """
    cache = Cache(None if arguments.cache is None else Path(arguments.cache))
    archives = [cache.fetch(Source(each.url, each.digest)) for each in arguments.archives]
    [archive] = archives
    [source] = arguments.archives
    ingress = serve.ingress()(Replica)
    deployment = _configure(serve.deployment(ingress), archive, arguments)
    return deployment.bind(_make_work(source.url, archive, arguments))


def _configure(deployment: Deployment, archive: ServedArchive, arguments: Arguments) -> Deployment:
    serving = archive.serving
    timeout = serving.response_timeout or arguments.response_timeout
    gpus = _count_gpus(archive, arguments)
    batch = serving.batch_size or 1
    options = {
        "name": archive.name,
        "ray_actor_options": {"num_cpus": _count_cpus(archive, arguments), "num_gpus": gpus},
        # One batch runs and one waits; more wait where another replica may take them.
        "max_ongoing_requests": 2 * batch,
        "max_queued_requests": arguments.queue,
        "backpressure_config": {"status_code": 429, "retry_after_s": 1},
        "graceful_shutdown_timeout_s": timeout + _GRACE,
        "max_constructor_retry_count": _STARTS,
        # The old replicas answer until new ones do.
        "max_surge_percent": 20,
    }
    if arguments.autoscaling is not None:
        options["autoscaling_config"] = arguments.autoscaling.model_dump()
    else:
        options["num_replicas"] = arguments.replicas or serving.workers or 1
    return deployment.options(**options)


def _count_cpus(archive: ServedArchive, arguments: Arguments) -> float:
    return arguments.cpus or archive.serving.threads or 1


def _count_gpus(archive: ServedArchive, arguments: Arguments) -> float:
    if archive.serving.device == "cpu":
        return 0
    default = 1 if archive.serving.device == "cuda" else 0
    return default if arguments.gpus is None else arguments.gpus


def _make_work(url: str, archive: ServedArchive, arguments: Arguments) -> Work:
    token_file = None if arguments.token_file is None else Path(arguments.token_file)
    settings = Settings(
        max_body=arguments.max_body,
        max_body_setting="max_body",
        response_timeout=arguments.response_timeout,
        queue=arguments.queue,
        token_file=token_file,
        piece=arguments.max_body,
    )
    return Work(
        Source(url, archive.digest),
        settings,
        arguments.cache,
        has_gpu=_count_gpus(archive, arguments) > 0,
    )
