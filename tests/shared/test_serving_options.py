"""Serving options: one schema, every problem at once, and one file for server and handler."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eisen_deploy.client._shared.errors import CorruptArchive
from eisen_deploy.client._shared.model.serving_options import (
    ServingOptions,
    find_problems,
    from_config,
    to_config,
)

VALID = {
    "workers": st.integers(1, 2**31 - 1),
    "batch_size": st.integers(1, 2**31 - 1),
    "batch_delay": st.integers(1, 2**31 - 1),
    "response_timeout": st.integers(1, 2**31 - 1),
    "startup_timeout": st.integers(1, 2**31 - 1),
    "device": st.sampled_from(["auto", "cpu", "cuda"]),
    "precision": st.sampled_from(["float32", "float16", "bfloat16"]),
    "compile": st.sampled_from([False, True, "default", "reduce-overhead", "max-autotune"]),
    "self_test": st.booleans(),
    "threads": st.integers(1, 2**31 - 1),
}
INTEGERS = [
    *("workers", "batch_size", "batch_delay", "response_timeout", "startup_timeout", "threads"),
]


def test_every_option_is_covered_here():
    assert set(VALID) == {field.name for field in fields(ServingOptions)}


@given(st.fixed_dictionaries({}, optional=VALID))
def test_options_are_read_from_the_file_as_they_were_written(serving):
    assert find_problems(serving) == []
    options = ServingOptions(**serving)
    text = json.dumps(to_config(options))
    assert from_config(json.loads(text)) == options


def test_the_names_that_torchserve_reads():
    serving = {
        "workers": 3,
        "batch_size": 8,
        "batch_delay": 20,
        "response_timeout": 300,
        "startup_timeout": 600,
        "device": "cuda",
        "precision": "float16",
        "compile": "reduce-overhead",
        "self_test": False,
        "threads": 2,
    }
    assert to_config(ServingOptions(**serving)) == {
        "minWorkers": 3,
        "maxWorkers": 3,
        "batchSize": 8,
        "maxBatchDelay": 20,
        "responseTimeout": 300,
        "startupTimeout": 600,
        "deviceType": "gpu",
        "eisen": {
            "device": "cuda",
            "precision": "float16",
            "compile": "reduce-overhead",
            "self_test": False,
            "threads": 2,
        },
    }


def test_what_is_not_given_is_left_to_the_server():
    assert to_config(ServingOptions()) == {
        "eisen": {"device": "auto", "precision": "float32", "compile": False, "self_test": True}
    }


def test_no_delay_is_the_least_that_torchserve_takes_for_one():
    assert to_config(ServingOptions(batch_delay=0))["maxBatchDelay"] == 1


def test_the_processor_alone():
    assert to_config(ServingOptions(device="cpu"))["deviceType"] == "cpu"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in INTEGERS for value in (-1, 1.0, "1", True, None, 2**31)),
        *((name, 0) for name in INTEGERS if name != "batch_delay"),
        *(("device", value) for value in ("gpu", "CPU", "cuda:0", None, 0, ["cpu"])),
        *(("precision", value) for value in ("half", "float64", 16, None)),
        *(("compile", value) for value in ("fastest", 1, 0, None, "")),
        *(("self_test", value) for value in (1, 0, "yes", None)),
    ],
)
def test_wrong_values(name, value):
    (problem,) = find_problems({name: value})
    assert problem.startswith(f"serving.{name}: expected ")
    assert repr(value) in problem or f"got {type(value).__name__}" in problem


def test_all_problems_are_reported_at_once():
    problems = find_problems({"workers": 0, "wokers": 2, "device": "gpu", "turbo": True, 3: 4})
    names = ", ".join(VALID)
    assert problems == [
        "serving.workers: expected an integer from 1 to 2147483647, got 0",
        "serving: 'wokers' is not an option, did you mean workers?",
        "serving.device: expected one of 'auto', 'cpu', 'cuda', got 'gpu'",
        f"serving: 'turbo' is not an option, the options are {names}",
        f"serving: 3 is not an option, the options are {names}",
    ]


@pytest.mark.parametrize("serving", [None, [], "workers", [("workers", 1)]], ids=repr)
def test_options_that_are_not_a_dict(serving):
    (problem,) = find_problems(serving)
    assert problem == f"serving: expected a dict, got {type(serving).__name__}"


def test_a_long_text_is_not_repeated_whole():
    assert len(find_problems({"device": "x" * 10_000})[0]) < 200


def test_a_file_of_before_there_were_threads_is_still_read():
    section = {"device": "auto", "precision": "float16", "compile": False, "self_test": True}
    assert from_config({"eisen": section}) == ServingOptions(precision="float16")


def change(**values):
    return {**to_config(ServingOptions(workers=2, device="cpu")), **values}


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({}, "other keys or values"),
        (change(eisen=None), "other keys or values"),
        (change(eisen={}), "other keys or values"),
        (change(eisen={"device": "gpu"}), "serving.device"),
        (change(eisen={"turbo": True}), "'turbo' is not an option"),
        (change(maxWorkers=3), "other keys or values"),
        (change(minWorkers="2", maxWorkers="2"), "serving.workers"),
        (change(deviceType="gpu"), "other keys or values"),
        (change(handler={}), "other keys or values"),
        (change(batchSize=0), "serving.batch_size"),
    ],
    ids=str,
)
def test_a_file_that_packaging_does_not_write_is_refused(config, problem):
    with pytest.raises(CorruptArchive, match=problem) as caught:
        from_config(config)
    assert all(each.startswith("model-config.yaml") for each in caught.value.problems)


def test_which_options_are_not_at_their_default():
    options = ServingOptions(workers=2, precision="float16", self_test=True)
    assert options.list_changed("workers", "precision", "self_test", "device") == [
        "workers",
        "precision",
    ]
