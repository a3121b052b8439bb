"""The metadata dict: how its type strings are read, and what holds for a whole batch."""

from __future__ import annotations

import numpy as np
import pytest

from eisen_deploy.client._shared.errors import InvalidInput
from eisen_deploy.client._shared.model.metadata import TYPE_HELP, Field, Metadata, ValueType

DTYPES = [
    "bool",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
]


def field(type_, **more):
    return Field.parse({"name": "x", "type": type_, **more})


# --- type strings -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ndarray", "np.ndarray", "numpy.ndarray", "nd.array"])
@pytest.mark.parametrize("pattern", ["{}", " {} ", "{}\n"])
def test_names_of_an_array(name, pattern):
    assert ValueType.parse(pattern.format(name)) == ValueType("ndarray")
    typed = ValueType.parse(pattern.format(f"{name}[ int64 ]"))
    assert typed == ValueType("ndarray", np.dtype("int64"))
    assert str(typed) == "ndarray[int64]"


@pytest.mark.parametrize("dtype", DTYPES)
def test_element_types(dtype):
    kind = ValueType.parse(f"ndarray[{dtype}]")
    assert kind.dtype == np.dtype(dtype)
    assert kind.dtype.isnative
    assert str(kind) == f"ndarray[{dtype}]"
    assert dtype in TYPE_HELP


@pytest.mark.parametrize("name", ["str", "list", "json", "int", "float", "bool"])
def test_plain_types(name):
    assert ValueType.parse(name) == ValueType(name)
    assert str(ValueType.parse(name)) == name
    assert name in TYPE_HELP


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "tensor",
        "NDARRAY",
        "array",
        "ndarray[]",
        "ndarray[float]",
        "ndarray[O]",
        "ndarray[object]",
        "ndarray[<f4]",
        "ndarray[float32",
        "ndarray float32]",
        "ndarray[float32][int8]",
        "ndarray[int8,int8]",
        "str[int64]",
        "list[str]",
        "x.ndarray",
        "ndarray\0",
        "dict",
        "None",
        "ndarray" * 10_000,
    ],
)
def test_other_type_strings_are_not_of_the_convention(text):
    assert ValueType.parse(text) is None
    assert field(text).type is None


# --- entries ------------------------------------------------------------------------------


def test_entry():
    assert field("ndarray[int8]", shape=[-1, 2], finite=True) == Field(
        "x", ValueType("ndarray", np.dtype("int8")), (-1, 2), True
    )
    assert field("str", shape=(1,)) == Field("x", ValueType("str"), (1,))


@pytest.mark.parametrize("raw", [None, 1, "x", [], ["x"], {}, {"name": 1}, {"type": "str"}])
def test_entry_without_a_name(raw):
    assert Field.parse(raw) is None


@pytest.mark.parametrize(
    "shape", [None, 3, "3", {}, [None], ["3"], [1.0], [True], [-2], [[1]], [2, "n"]]
)
def test_entry_with_another_shape_declares_none(shape):
    item = field("ndarray", shape=shape)
    assert item.shape is None
    assert item.conform(np.zeros((2, 3))).shape == (2, 3)


@pytest.mark.parametrize("finite", [None, 1, "true", [True], False])
def test_only_true_forbids_nan(finite):
    assert not field("ndarray", finite=finite).finite


@pytest.mark.parametrize("type_", [None, 1, ["ndarray"], {}])
def test_entry_with_another_type_takes_any_value(type_):
    item = field(type_, shape=[3], finite=True)
    assert item.type is None
    for value in (object(), np.nan, np.zeros(2)):
        assert item.conform(value) is value


# --- the whole dict -----------------------------------------------------------------------

RAW = {
    "inputs": [
        {"name": "image", "type": "np.ndarray[float32]", "shape": [-1, 2]},
        {"name": "age", "type": "int", "shape": [1]},
        {"name": "extra", "type": "tensor", "shape": None},
    ],
    "outputs": [{"name": "mask", "type": "ndarray", "shape": [-1]}],
    "model_input_list": ["image"],
    "custom": {"note": 1},
}


def test_metadata():
    metadata = Metadata.parse(RAW)
    assert [item.name for item in metadata.inputs] == ["image", "age", "extra"]
    assert [item.name for item in metadata.outputs] == ["mask"]
    assert metadata.model_inputs == ("image",)
    assert metadata.model_outputs == ("mask",)
    assert metadata.input_type("age") == ValueType("int")
    assert metadata.input_type("extra") is None
    assert metadata.input_type("other") is None


@pytest.mark.parametrize("bad", [None, 1, "x", {}, [], [1], [{}], [{"name": "x"}, None], [[]]])
def test_what_does_not_follow_the_convention_is_not_declared(bad):
    metadata = Metadata.parse(dict.fromkeys(RAW, bad))
    assert metadata == Metadata()
    assert metadata.input_type("x") is None
    assert metadata.batch_problem is not None
    value = object()
    assert metadata.conform({"anything": value}) == {"anything": value}


def test_nothing_declared():
    assert Metadata.parse({}) == Metadata()
    assert Metadata.parse({"inputs": [], "outputs": []}) == Metadata()


def test_names_default_to_those_of_inputs_and_outputs():
    metadata = Metadata.parse({**RAW, "model_input_list": None, "model_output_list": [1]})
    assert metadata.model_inputs == ("image", "age", "extra")
    assert metadata.model_outputs == ("mask",)
    named = Metadata.parse({"model_input_list": ["a"], "model_output_list": ("b", "c")})
    assert named == Metadata(None, None, ("a",), ("b", "c"))


@pytest.mark.parametrize(
    ("inputs", "batchable"),
    [
        ([{"name": "a", "type": "ndarray", "shape": [-1, 2]}], True),
        ([{"name": "a", "type": "ndarray", "shape": [1, 2]}], False),
        ([{"name": "a", "type": "ndarray"}], False),
        ([{"name": "a", "type": "ndarray", "shape": []}], False),
        ([{"name": "a", "type": "ndarray[int8]", "shape": [-1]}], True),
        ([{"name": "a", "type": "ndarray", "shape": [-1]}, {"name": "b", "type": "int"}], True),
        (
            [{"name": "a", "type": "ndarray", "shape": [-1]}, {"name": "b", "type": "ndarray"}],
            False,
        ),
        ([{"name": "a", "type": "list", "shape": [-1]}], False),
        (None, False),
    ],
)
def test_batchable(inputs, batchable):
    problem = Metadata.parse({"inputs": inputs}).batch_problem
    assert (problem is None) is batchable


def test_a_batch_that_conforms():
    image, extra = np.ones((3, 2)), object()
    got = Metadata.parse(RAW).conform({"extra": extra, "age": np.array([7]), "image": image})
    assert list(got) == ["image", "age", "extra"]
    assert got["image"].dtype == np.float32
    assert got["age"] == 7
    assert got["extra"] is extra


def test_every_problem_of_a_batch_is_reported():
    batch = {"image": np.zeros((2, 3), complex), "age": "7", "weight": 1, 5: 2, "y" * 99: 3}
    with pytest.raises(InvalidInput) as caught:
        Metadata.parse(RAW).conform(batch)
    assert list(caught.value.problems) == [
        "image: expected ndarray[float32], got complex128",
        "image: expected shape [-1, 2], got [2, 3]",
        "age: expected int, got str",
        "extra: is missing, expected a value",
        "weight: is not an input of the model, which takes image, age, extra",
        "5: is not an input of the model, which takes image, age, extra",
        f"{'y' * 40}: is not an input of the model, which takes image, age, extra",
    ]
    assert str(caught.value) == "; ".join(caught.value.problems)


def test_missing_inputs_say_what_was_expected():
    with pytest.raises(InvalidInput) as caught:
        Metadata.parse(RAW).conform({})
    assert list(caught.value.problems) == [
        "image: is missing, expected ndarray[float32]",
        "age: is missing, expected int",
        "extra: is missing, expected a value",
    ]


def test_at_most_eight_unknown_names_are_reported():
    with pytest.raises(InvalidInput) as caught:
        Metadata.parse(RAW).conform({f"y{i}": 0 for i in range(100)})
    assert len(caught.value.problems) == 3 + 8


@pytest.mark.parametrize("declared", [False, True])
@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ([[1, 2]], "int64"),
        ([0.5], "float64"),
        ([True, False], "bool"),
        ([], None),
        (["a"], None),
        ([1, "a"], None),
        ([[1], [2, 3]], None),
        ([{"a": 1}], None),
        ("a", None),
        (1, None),
        ({"a": [1]}, None),
    ],
)
def test_undeclared_lists_of_numbers_are_arrays(value, dtype, declared):
    metadata = Metadata.parse({"inputs": [{"name": "x"}]} if declared else {})
    got = metadata.conform({"x": value})["x"]
    if dtype is None:
        assert got is value
    else:
        assert got.dtype == np.dtype(dtype)
        assert got.tolist() == value


TWO = [
    {"name": "image", "type": "ndarray", "shape": [-1, 2]},
    {"name": "prior", "type": "ndarray", "shape": [-1]},
]


@pytest.mark.parametrize(
    ("model_inputs", "inputs", "problem"),
    [
        (
            None,
            TWO,
            "image, prior: expected as many rows (axis 0) of each, got 3 of image, 2 of prior",
        ),
        (["image", "prior"], TWO, "got 3 of image, 2 of prior"),
        (["image"], TWO, None),
        (None, [TWO[0], {**TWO[1], "shape": [2]}], None),
        (None, [TWO[0], {"name": "prior", "type": "ndarray"}], None),
        (None, [TWO[0], {**TWO[1], "type": "list"}], None),
    ],
)
def test_inputs_of_the_model_have_as_many_rows_as_each_other(model_inputs, inputs, problem):
    metadata = Metadata.parse({"inputs": inputs, "model_input_list": model_inputs})
    batch = {"image": np.ones((3, 2)), "prior": np.ones(2)}
    if problem is None:
        assert list(metadata.conform(batch)) == ["image", "prior"]
    else:
        with pytest.raises(InvalidInput) as caught:
            metadata.conform(batch)
        assert str(caught.value).endswith(problem)
    metadata.conform({**batch, "image": np.ones((2, 2))})


@pytest.mark.parametrize(
    ("outputs", "names", "problem"),
    [
        ([{"name": "y", "shape": [-1, 2]}], None, None),
        ([{"name": "y"}], None, None),
        ([{"name": "y", "shape": [2, 2]}], None, "axis 0 of y"),
        ([{"name": "y", "shape": [1]}, {"name": "z", "shape": []}], None, "axis 0 of y, z"),
        ([{"name": "y", "shape": [2, 2]}], ["logits"], None),
    ],
)
def test_an_output_of_the_model_with_a_fixed_first_axis_keeps_requests_apart(
    outputs, names, problem
):
    metadata = Metadata.parse({"inputs": TWO, "outputs": outputs, "model_output_list": names})
    if problem is None:
        assert metadata.batch_problem is None
    else:
        assert metadata.batch_problem == f"the metadata does not free {problem}"
