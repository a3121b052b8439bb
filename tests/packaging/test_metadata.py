"""``create_metadata``, and which dicts an archive takes as metadata."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eisen_deploy.packaging import EisenServingMAR, InvalidMetadata, create_metadata


def _create(**changes):
    arguments = {
        "input_name_list": ["image"],
        "input_type_list": ["ndarray"],
        "input_shape_list": [[-1, 3, 244, 244]],
        "output_name_list": ["logits", "prediction"],
        "output_type_list": ["ndarray", "str"],
        "output_shape_list": [[-1, 10], [-1]],
    }
    return create_metadata(**{**arguments, **changes})


def _problems(**changes):
    with pytest.raises(InvalidMetadata) as caught:
        _create(**changes)
    return caught.value.problems


def test_the_documented_example_by_position():
    metadata = create_metadata(
        ["input"],
        ["ndarray"],
        [[-1, 3, 244, 244]],
        ["logits", "prediction"],
        ["ndarray", "str"],
        [[-1, 10], [-1]],
        ["input", "mask"],
        ["logits"],
        {"note": "x"},
    )
    assert metadata == {
        "inputs": [{"name": "input", "type": "ndarray", "shape": [-1, 3, 244, 244]}],
        "outputs": [
            {"name": "logits", "type": "ndarray", "shape": [-1, 10]},
            {"name": "prediction", "type": "str", "shape": [-1]},
        ],
        "model_input_list": ["input", "mask"],
        "model_output_list": ["logits"],
        "custom": {"note": "x"},
    }


def test_the_model_lists_name_everything_by_default():
    metadata = _create()
    assert metadata["model_input_list"] == ["image"]
    assert metadata["model_output_list"] == ["logits", "prediction"]
    assert metadata["custom"] == {}


def test_a_model_without_declarations():
    nothing = create_metadata([], [], [], [], [], [])
    assert nothing["inputs"] == nothing["outputs"] == nothing["model_input_list"] == []


def test_the_result_is_plain_and_new():
    shape, custom, names = (np.int64(-1), np.int32(3)), {"spacing": (1, 2.5)}, ("image",)
    metadata = _create(
        input_name_list=names,
        input_shape_list=[shape],
        custom_meta_dict=custom,
        model_output_list=("logits",),
    )
    assert metadata["inputs"][0]["shape"] == [-1, 3]
    assert {type(size) for size in metadata["inputs"][0]["shape"]} == {int}
    assert metadata["custom"] == {"spacing": [1, 2.5]}
    assert json.loads(json.dumps(metadata)) == metadata
    metadata["custom"]["spacing"].append(3)
    metadata["model_input_list"].append("other")
    assert custom == {"spacing": (1, 2.5)}
    assert _create(input_name_list=names)["model_input_list"] == ["image"]


@pytest.mark.parametrize("name", ["ndarray[int64]", "np.ndarray", "list", "json", "bool", "float"])
def test_type_strings_of_the_convention_stay_as_they_are(name):
    assert _create(input_type_list=[name])["inputs"][0]["type"] == name


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"input_type_list": []}, "input_name_list has 1, input_type_list has 0"),
        ({"output_shape_list": [[1]]}, "output_type_list has 2, output_shape_list has 1"),
        ({"output_name_list": ["a", "a"]}, "output_name_list: 'a' appears more than once"),
        ({"model_input_list": ["a", "a"]}, "model_input_list: 'a' appears more than once"),
        ({"input_name_list": [""]}, "input_name_list[0]: expected a name"),
        ({"model_output_list": [3]}, "model_output_list[0]: expected a name"),
        ({"input_name_list": ["\ud800"]}, "input_name_list: holds half of a surrogate pair"),
        ({"input_name_list": "image"}, "input_name_list: expected a list, got str"),
        ({"model_input_list": "image"}, "model_input_list: expected a list, got str"),
        ({"input_type_list": ["tensor"]}, "input_type_list[0]: expected one of ndarray, str"),
        ({"input_type_list": ["ndarray[object]"]}, "got 'ndarray[object]'"),
        ({"input_type_list": [float]}, "input_type_list[0]: expected one of"),
        ({"input_shape_list": [[-2]]}, "input_shape_list[0]: expected a list of integers from -1"),
        ({"input_shape_list": [[True]]}, "got [True]"),
        ({"input_shape_list": [[1.0]]}, "got [1.0]: pass [1], where -1 stands for any size"),
        ({"input_shape_list": [[None, 3]]}, "got [None, 3]: pass [-1, 3], where"),
        ({"input_shape_list": [("batch", 3)]}, "got ('batch', 3): pass [-1, 3], where"),
        ({"input_shape_list": [[1.5]]}, "got [1.5]"),
        ({"input_shape_list": [[2**63]]}, "input_shape_list[0]"),
        ({"input_shape_list": [-1]}, "got -1: pass [-1]"),
        ({"custom_meta_dict": []}, "custom_meta_dict: expected a dict, got list"),
        ({"custom_meta_dict": {"a": {1: 2}}}, "custom_meta_dict['a']: key 1 is int"),
        ({"custom_meta_dict": {"a": [float("nan")]}}, "custom_meta_dict['a'][0]: nan is not JSON"),
        ({"custom_meta_dict": {"a": {2}}}, "custom_meta_dict['a']: set is not JSON"),
        ({"custom_meta_dict": {"a": np.ones(2)}}, "custom_meta_dict['a']: ndarray is not JSON"),
        ({"custom_meta_dict": {"a": 10**400}}, "an integer of more than 300 digits"),
    ],
)
def test_each_problem_is_named(changes, problem):
    problems = _problems(**changes)
    assert len(problems) == 1
    assert problem in problems[0]


def test_all_problems_are_reported_in_one_error():
    problems = _problems(
        input_type_list=["tensor"],
        output_shape_list=[[-5], None],
        model_output_list=["a", "a"],
        custom_meta_dict={"x": {1}, "y": float("inf")},
    )
    assert len(problems) == 6


def test_metadata_that_contains_itself_is_refused():
    custom = {}
    custom["again"] = custom
    assert "nested more than 32 deep" in _problems(custom_meta_dict=custom)[0]


@pytest.mark.parametrize(
    ("meta_data", "problem"),
    [
        (None, "meta_data: expected a dict, got NoneType"),
        ([("a", 1)], "meta_data: expected a dict, got list"),
        ({"a": float("inf")}, "meta_data['a']: inf is not JSON"),
        ({1: 2}, "meta_data: key 1 is int"),
        ({"a": b"x"}, "meta_data['a']: bytes is not JSON"),
        ({"a": "x" * (8 * 2**20)}, "at most 8388608 are read"),
    ],
)
def test_an_archive_takes_only_json(meta_data, problem):
    with pytest.raises(InvalidMetadata, match=r".") as caught:
        EisenServingMAR(None, None, meta_data)
    assert problem in str(caught.value)


def test_an_archive_lists_every_problem_of_the_metadata():
    with pytest.raises(InvalidMetadata) as caught:
        EisenServingMAR(None, None, {"a": {1}, "b": [float("nan")], 3: 4})
    assert len(caught.value.problems) == 3


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("aé\U0001f9e0\0"), inner),
    max_leaves=8,
)


@pytest.mark.slow  # a second or two
@given(st.dictionaries(st.text("ab"), _JSON))
def test_any_json_object_survives(custom):
    assert create_metadata([], [], [], [], [], [], custom_meta_dict=custom)["custom"] == custom
