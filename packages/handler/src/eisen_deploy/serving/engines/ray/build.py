"""An application of Ray Serve from its arguments.

Ray reads the type of the builder's parameter, so annotations are no strings here.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve import Application, Deployment

from eisen_deploy.serving.engines.asgi.settings import Settings
from eisen_deploy.serving.engines.served_archives import BadArchives, ServedArchive, name_in_urls
from eisen_deploy.serving.runtime._shared.archive import reader

from .arguments import Arguments
from .fetching import Cache, Source
from .replica import Replica, Work
from .router import Routed, RouterReplica

# Seconds after which Ray sees that a replica has ended, and starts another one.
_CHECKS = 2
_LOGGING = {"enable_access_log": False}
# Replicas whose archive cannot be served fail again: Ray need not try that twenty times.
_STARTS = 3
# Two, so that requests have another way when one of them is lost; they only pass bodies on.
_ROUTERS = 2
_ROUTER: dict[str, Any] = {
    "name": "eisen@router",  # no model is called so
    "num_replicas": _ROUTERS,
    "ray_actor_options": {"num_cpus": 0},
    "max_ongoing_requests": 1000,
    "health_check_period_s": _CHECKS,
    "logging_config": _LOGGING,
    "max_surge_percent": 20,
}
# Requests that a replica has at once, at least: each that a proxy holds back costs it a pause.
_ONGOING = 16
# Seconds of the pauses after which a proxy looks for a free replica again. By default they grow to
# half a second, in which a small model could have answered a hundred requests.
_ROUTING = {"initial_backoff_s": 0.001, "backoff_multiplier": 2.0, "max_backoff_s": 0.02}
# Seconds beyond the response timeout in which a replica that is replaced still answers.
_GRACE = 10


def build(arguments: Arguments) -> Application:
    """Return an application that serves archives.

    Each archive is fetched and verified here, where Ray builds the application. Every replica
    fetches it again, unless its node has it, and takes only what was seen here.

    :raises BadArchives: with each archive that cannot be served.
    """
    cache = Cache(None if arguments.cache is None else Path(arguments.cache))
    archives = _fetch_all(cache, arguments)
    works = [
        _make_work(source.url, archive, arguments)
        for source, archive in zip(arguments.archives, archives, strict=True)
    ]
    if len(archives) == 1:
        return _deploy(serve.ingress()(Replica), archives[0], arguments).bind(works[0])
    return _route(archives, works, arguments)


def _fetch_all(cache: Cache, arguments: Arguments) -> list[ServedArchive]:
    """Return the archives, each with how an address names it.

    :raises BadArchives: with all that is wrong with any of them.
    """
    found: dict[tuple[str, str], ServedArchive] = {}
    problems: list[str] = []
    for each in arguments.archives:
        source = Source(each.url, each.digest)
        try:
            archive = cache.fetch(source)
        except BadArchives as error:
            problems += error.problems
            continue
        if found.setdefault((archive.name, archive.version), archive) is not archive:
            what = f"{archive.name} {archive.version}"
            problems.append(f"{source}: another archive has {what} as well: serve one of them")
    if problems:
        raise BadArchives(problems)
    return name_in_urls(list(found.values()))


def _route(
    archives: Sequence[ServedArchive], works: Sequence[Work], arguments: Arguments
) -> Application:
    """Return an application with a router, and a deployment for each archive."""
    models = []
    for archive, work in zip(archives, works, strict=True):
        inner = replace(work, settings=replace(work.settings, token_file=None))
        deployment = _deploy(Replica, archive, arguments)
        timeout = archive.serving.response_timeout or arguments.response_timeout
        models.append(
            Routed(
                archive.name,
                archive.version,
                archive.url_part,
                _read_metadata(archive),
                deployment.name,
                deployment.bind(inner),  # type: ignore[arg-type] # Ray makes it a handle
                2 * timeout + _GRACE,
            )
        )
    router: Deployment = serve.deployment(**_ROUTER)(serve.ingress()(RouterReplica))
    return router.bind(models, works[0].settings, _ROUTERS)


def _read_metadata(archive: ServedArchive) -> dict[str, object]:
    assert archive.copy is not None  # noqa: S101 - it lies in the cache
    return reader.read(archive.copy).metadata


def _deploy(
    replica: Callable[..., Any], archive: ServedArchive, arguments: Arguments
) -> Deployment:
    """Return a deployment of replicas, with the options that travel in their archive."""
    serving = archive.serving
    timeout = serving.response_timeout or arguments.response_timeout
    gpus = _count_gpus(archive, arguments)
    batch = serving.batch_size or 1
    options: dict[str, Any] = {
        "name": archive.url_part.replace("/", "@"),
        "ray_actor_options": {"num_cpus": _count_cpus(archive, arguments), "num_gpus": gpus},
        # One batch runs and one waits; more wait where another replica may take them.
        "max_ongoing_requests": max(2 * batch, _ONGOING),
        "request_router_config": _ROUTING,
        "max_queued_requests": arguments.queue,
        "backpressure_config": {"status_code": 429, "retry_after_s": 1},
        "graceful_shutdown_timeout_s": timeout + _GRACE,
        "health_check_period_s": _CHECKS,
        "max_constructor_retry_count": _STARTS,
        # The old replicas answer until new ones do.
        "max_surge_percent": 20,
        "logging_config": _LOGGING,
    }
    if arguments.autoscaling is not None:
        options["autoscaling_config"] = arguments.autoscaling.model_dump()
    else:
        options["num_replicas"] = _count_replicas(archive, arguments)
    return serve.deployment(**options)(replica)


def _count_replicas(archive: ServedArchive, arguments: Arguments) -> int:
    """Return the number of replicas, or the largest one."""
    if arguments.autoscaling is not None:
        return arguments.autoscaling.max_replicas
    return arguments.replicas or archive.serving.workers or 1


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
        replicas=_count_replicas(archive, arguments),
        has_gpu=_count_gpus(archive, arguments) > 0,
    )
