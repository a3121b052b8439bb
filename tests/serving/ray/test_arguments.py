"""What ``args`` of a Serve config may say, and what is said of the rest."""

from __future__ import annotations

import inspect

import pytest
from pydantic import ValidationError

from eisen_deploy.serving.ray import Arguments, build

DIGEST = "0" * 64


def test_an_archive_is_an_address_or_an_address_and_a_digest():
    given = Arguments.model_validate(
        {"archives": ["/a.mar", {"url": "s3://b/c.mar", "digest": DIGEST}], "max_body": "1GB"}
    )
    found = [(each.url, each.digest) for each in given.archives]
    assert found == [("/a.mar", None), ("s3://b/c.mar", DIGEST)]
    assert given.max_body == 10**9
    assert Arguments(archives=["/a.mar"]).max_body == 512 * 2**20


@pytest.mark.parametrize(
    ("given", "field", "said"),
    [
        ({}, ("archives",), "required"),
        ({"archives": []}, ("archives",), "at least 1 item"),
        ({"archives": "a.mar"}, ("archives",), "valid list"),
        ({"archives": [7]}, ("archives", 0), "ArchiveSource"),
        ({"archives": [""]}, ("archives", 0, "url"), "at least 1 character"),
        ({"archives": [{"url": "a", "sha": "b"}]}, ("archives", 0, "sha"), "not permitted"),
        ({"archives": [{"url": "a", "digest": "b"}]}, ("archives", 0, "digest"), "pattern"),
        ({"max_body": "much"}, ("max_body",), "a size such as 512MiB or 1GB, got 'much'"),
        ({"max_body": 0}, ("max_body",), "greater than or equal to 1"),
        ({"maxbody": 1}, ("maxbody",), "not permitted"),
        ({"replicas": 0}, ("replicas",), "greater than or equal to 1"),
        ({"cpus": 0}, ("cpus",), "greater than 0"),
        ({"gpus": -1}, ("gpus",), "greater than or equal to 0"),
        ({"autoscaling": {}}, ("autoscaling", "max_replicas"), "required"),
        (
            {"autoscaling": {"min_replicas": 3, "max_replicas": 2}},
            ("autoscaling",),
            "expected min_replicas of at most max_replicas, got 3 and 2",
        ),
        ({"autoscaling": {"max_replicas": 2}, "replicas": 1}, (), "give one of them"),
    ],
)
def test_what_is_wrong_is_named(given, field, said):
    with pytest.raises(ValidationError) as caught:
        Arguments.model_validate({"archives": ["a.mar"], **given} if given else given)
    [problem] = caught.value.errors()
    assert problem["loc"] == field
    assert said in problem["msg"]


def test_ray_reads_the_type_of_the_arguments():
    """By the annotation itself: Ray passes a plain dict where it is a string."""
    [parameter] = inspect.signature(build).parameters.values()
    assert parameter.annotation is Arguments
