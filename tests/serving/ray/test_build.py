"""What becomes of an archive's options and of the arguments in a deployment."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from pydantic import ValidationError
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary

from eisen_deploy.serving.engines.ray.build import _deploy, build
from eisen_deploy.serving.engines.ray.replica import Replica
from eisen_deploy.serving.engines.served_archives import BadArchives, verify
from eisen_deploy.serving.ray import Arguments
from eisen_deploy.serving.runtime._shared.model.serving_options import ServingOptions


@pytest.fixture
def deploy(affine_archive):
    """Return the deployment of an archive: ``deploy({option: value}, argument=value)``."""
    [archive] = verify([affine_archive])

    def _deploy_with(options, **arguments):
        given = dataclasses.replace(archive, serving=ServingOptions(**options))
        return _deploy(Replica, given, Arguments(archives=["a.mar"], **arguments))

    return _deploy_with


@pytest.mark.parametrize(
    ("options", "arguments", "expected"),
    [
        ({}, {}, (1, 1, 0)),
        ({"workers": 3, "threads": 2}, {}, (3, 2, 0)),
        ({"workers": 3, "threads": 2}, {"replicas": 5, "cpus": 0.5}, (5, 0.5, 0)),
        ({"device": "cuda"}, {}, (1, 1, 1)),
        ({"device": "cuda"}, {"gpus": 0.5}, (1, 1, 0.5)),
        ({}, {"gpus": 0.25}, (1, 1, 0.25)),
        ({"device": "cpu"}, {"gpus": 1}, (1, 1, 0)),
    ],
)
def test_replicas_cores_and_gpus(deploy, options, arguments, expected):
    deployment = deploy(options, **arguments)
    resources = deployment.ray_actor_options
    assert (deployment.num_replicas, resources["num_cpus"], resources["num_gpus"]) == expected


def test_requests_and_times(deploy):
    deployment = deploy({"batch_size": 12, "response_timeout": 20}, queue=7)
    assert deployment.name == "model"
    assert deployment.max_ongoing_requests == 24
    assert deploy({}).max_ongoing_requests == 16
    assert deployment.max_queued_requests == 7
    assert deploy({}, response_timeout=40)._deployment_config.graceful_shutdown_timeout_s == 50
    assert deployment._deployment_config.graceful_shutdown_timeout_s == 30


def test_autoscaling(deploy):
    scaling = {"min_replicas": 1, "max_replicas": 4, "target_ongoing_requests": 3}
    deployment = deploy({"workers": 2}, autoscaling=scaling)
    config = deployment._deployment_config.autoscaling_config
    assert (config.min_replicas, config.max_replicas, config.target_ongoing_requests) == (1, 4, 3)


def test_ray_calls_the_builder_with_the_args_of_a_config(affine_archive, tmp_path):
    """As for ``import_path`` and ``args``; what is not a field is named."""
    args = {"archives": [str(affine_archive)], "cache": str(tmp_path / "cache")}
    assert call_user_app_builder_with_args_if_necessary(build, args)
    with pytest.raises(ValidationError, match=r"(?s)workers.*not permitted"):
        call_user_app_builder_with_args_if_necessary(build, {**args, "workers": 2})


def test_everything_wrong_with_archives_is_said(affine_archive, tmp_path):
    missing, damaged = tmp_path / "missing.mar", tmp_path / "damaged.mar"
    damaged.write_bytes(Path(affine_archive).read_bytes()[:-1])
    paths = [missing, damaged, affine_archive, affine_archive]
    arguments = Arguments(archives=[str(path) for path in paths], cache=str(tmp_path / "cache"))
    with pytest.raises(BadArchives) as caught:
        build(arguments)
    first, second, third = caught.value.problems
    assert first == f"{missing}: No such file or directory"
    assert second.startswith(f"{damaged}: the archive is cut off")
    assert third == (f"{affine_archive}: another archive has model 1.0 as well: serve one of them")
