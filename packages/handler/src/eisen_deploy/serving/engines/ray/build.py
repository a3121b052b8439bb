# Without "from __future__ import annotations": Ray looks at the types as they are.
"""The builder that a configuration of Ray Serve names: ``eisen_deploy.serving.ray:build``."""

from typing import Any

from ray import serve

from eisen_deploy.serving.engines.asgi.settings import Settings
from eisen_deploy.serving.runtime._shared.archive import reader
from eisen_deploy.serving.runtime._shared.model.serving_options import ServingOptions

from . import fetching, replica
from .arguments import ArchiveArguments, Arguments

#: Requests beyond those that wait and run which a replica takes, only to refuse them itself.
_BEYOND = 20


def build(arguments: Arguments) -> serve.Application:
    """Return the application of some archives; each is verified here, and again on every node.

    :raises LoadFailed: if an archive cannot be fetched, or is not what packaging wrote.
    """
    [archive] = arguments.described
    return _deploy(archive, arguments)


def _deploy(archive: ArchiveArguments, arguments: Arguments) -> serve.Application:
    path = fetching.fetch(archive.source, archive.digest, arguments.cache)
    found = reader.read(path)
    options = found.serving or ServingOptions()
    settings = Settings(
        max_body=arguments.max_body,
        max_body_setting="max_body",
        response_timeout=arguments.response_timeout,
        queue=arguments.queue,
        token_file=arguments.token_file,
    )
    timeout = options.response_timeout or arguments.response_timeout
    deployment = serve.deployment(serve.ingress(replica.make_application)(replica.Replica))
    return deployment.options(
        name=found.about.model.name,
        max_ongoing_requests=arguments.queue + (options.batch_size or 1) + _BEYOND,
        graceful_shutdown_timeout_s=timeout + 5,
        health_check_period_s=5,
        ray_actor_options=_actor_options(archive, options),
        **_scaling(archive, options),
    ).bind(archive.source, found.about.digest, arguments.cache, settings)


def _actor_options(archive: ArchiveArguments, options: ServingOptions) -> dict[str, Any]:
    gpus = archive.num_gpus
    if gpus is None:
        gpus = 1.0 if options.device == "cuda" else 0.0
    return {"num_cpus": archive.num_cpus, "num_gpus": gpus}


def _scaling(archive: ArchiveArguments, options: ServingOptions) -> dict[str, Any]:
    if archive.replicas != "auto":
        return {"num_replicas": archive.replicas or options.workers or 1}
    return {
        "num_replicas": "auto",
        "autoscaling_config": {
            "min_replicas": 1,
            "max_replicas": archive.max_replicas,
            "target_ongoing_requests": 2 * (options.batch_size or 1),
        },
    }
