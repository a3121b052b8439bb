"""``eisen-pack build``: recipes of every kind, flags that win, and failures in a sentence."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import zipfile

import numpy as np
import pytest

from eisen_deploy.packaging.cli import main

RECIPE = """
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 3)

        def forward(self, x):
            return self.layer(x)

    def halve(data):
        return {**data, "x": data["x"] / 2}

    torch.manual_seed(0)
    package = {"model": Net(), "pre_processing": halve, "meta_data": {"inputs": []}}
"""


@pytest.fixture(autouse=True)
def fresh_imports(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = dict(sys.modules)
    yield
    for name in set(sys.modules) - set(before):
        if name.startswith(("__eisen_recipe__", "recipe_", "neighbour_")):
            del sys.modules[name]


@pytest.fixture
def recipe(tmp_path):
    """Write a recipe and return its path."""

    def write(text, name="recipe.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), "utf-8")
        return path

    return write


@pytest.fixture
def build(tmp_path, capsys):
    """Build, and return exit status, output and error lines."""

    def run(*arguments):
        status = main(["build", *map(str, arguments), "-o", str(tmp_path / "zoo")])
        said = capsys.readouterr()
        return status, said.out, said.err.splitlines()

    return run


def about(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("eisen.json"))


def small(more="", target="torch.nn.Identity()"):
    return f'import torch\npackage = {{"model": {target}, "meta_data": {{}}, {more}}}\n'


def test_a_mapping_in_a_file(build, recipe, tmp_path):
    status, out, errors = build(recipe(RECIPE))
    path = tmp_path / "zoo" / "model.mar"
    assert (status, len(errors)) == (0, 1)
    assert errors[0].startswith("eisen-pack: packed without a sample: nothing shows that")
    assert out.startswith(f"{path} (")
    said = about(path)
    assert said["model"]["version"] == "1.0"
    assert said["transforms"]["pre_processing"] == "pre_process_tform.pkl"
    assert said["modules"]["__eisen_recipe__"]["decision"] == "by value"
    assert not any("recipe" in name for name in said["files"])


@pytest.mark.slow  # a second or two
def test_what_a_recipe_defines_is_there_on_a_server_that_has_no_recipe(
    build, recipe, tmp_path, unpack, python
):
    """A fresh interpreter, elsewhere, loads it with the archive's own code and predicts."""
    build(recipe(RECIPE))
    folder = unpack(tmp_path / "zoo" / "model.mar")
    script = recipe(
        """
        import sys
        sys.path.insert(0, sys.argv[1])
        from pathlib import Path
        from _eisen_serving.session import InferenceSession

        session = InferenceSession.open(Path(sys.argv[1]))
        import numpy as np
        print(session.handler.pre_process({"x": np.ones((1, 2))})["x"].tolist())
        """,
        "server/load.py",
    )
    assert python(script, folder, cwd=script.parent) == "[[0.5, 0.5]]\n"


def test_a_function_and_another_attribute(build, recipe, tmp_path):
    text = small('"model_name": "one"') + textwrap.dedent(
        """
        class recipes:
            @staticmethod
            def two():
                return {**package, "model_name": "two"}
        """
    )
    assert build(f"{recipe(text)}:recipes.two")[0] == 0
    assert (tmp_path / "zoo" / "two.mar").exists()
    assert not (tmp_path / "zoo" / "one.mar").exists()


def test_a_module_is_imported_from_the_working_directory(build, recipe, tmp_path, monkeypatch):
    recipe("", "recipe_folder/__init__.py")
    recipe(small(), "recipe_folder/inner.py")
    monkeypatch.chdir(tmp_path)
    assert build("recipe_folder.inner")[0] == 0


def test_neighbours_of_a_recipe_import_and_travel(build, recipe, tmp_path):
    recipe("def same(data):\n    return data\n", "neighbour_code.py")
    text = "from neighbour_code import same\n" + small('"post_processing": same')
    assert build(recipe(text))[0] == 0
    modules = about(tmp_path / "zoo" / "model.mar")["modules"]
    assert modules["neighbour_code"]["decision"] == "captured"


def test_metadata_by_its_other_name(build, recipe, tmp_path):
    text = 'import torch\npackage = {"model": torch.nn.Identity(), "metadata": {"custom": 7}}'
    assert build(recipe(text))[0] == 0
    with zipfile.ZipFile(tmp_path / "zoo" / "model.mar") as archive:
        assert json.loads(archive.read("metadata.json")) == {"custom": 7}


def test_flags_win(build, recipe, tmp_path):
    text = small('"model_name": "a", "model_version": "1", "serving": {"workers": 3}')
    assert build(recipe(text), "--name", "b", "--model-version", "2")[0] == 0
    said = about(tmp_path / "zoo" / "b.mar")
    assert (said["model"]["name"], said["model"]["version"]) == ("b", "2")
    assert said["serving"] == "model-config.yaml"


def test_requirements_beside_and_instead_of_the_recipes(build, recipe, tmp_path):
    text = small('"requirements": ["Typing_Extensions>=1", "filelock>=3"]')
    assert build(recipe(text), "-r", "typing-extensions>=4", "-r", "fsspec")[0] == 0
    requirements = about(tmp_path / "zoo" / "model.mar")["requirements"]
    assert "typing-extensions>=4" in requirements
    assert "filelock>=3" in requirements
    assert not any("Typing_Extensions" in requirement for requirement in requirements)
    assert any(requirement.startswith("fsspec") for requirement in requirements)


def test_code_paths_beside_the_recipes(build, recipe, tmp_path):
    first, second = recipe("A = 1", "neighbour_a.py"), recipe("B = 1", "neighbour_b.py")
    text = small(f'"code_paths": [{str(first)!r}]')
    assert build(recipe(text), "--code-path", second)[0] == 0
    files = about(tmp_path / "zoo" / "model.mar")["files"]
    assert {"captured_code/neighbour_a.py", "captured_code/neighbour_b.py"} <= files.keys()


@pytest.mark.parametrize("key", ["requirements", "code_paths"])
def test_flags_beside_a_value_that_is_not_a_list(build, recipe, key):
    flag = {"requirements": "-r", "code_paths": "--code-path"}[key]
    status, _, errors = build(recipe(small(f'"{key}": "text"')), flag, "x")
    assert (status, errors) == (2, [f"eisen-pack: {key}: expected a list, got str"])


def test_a_sample_from_a_file_or_none(build, recipe, tmp_path, monkeypatch):
    from eisen_deploy.packaging import EisenServingMAR

    seen = []
    monkeypatch.setattr(
        EisenServingMAR, "pack", lambda self, **given: (seen.append(given), tmp_path / "f.npz")[1]
    )
    np.savez(tmp_path / "f.npz", x=np.float32([[1, 2]]), name=np.array("text"))
    text = recipe(small('"sample": {"x": 1}, "tolerance": 0.5'))
    build(text)
    build(text, "--sample", tmp_path / "f.npz")
    build(text, "--no-sample")
    own, file, none = (given["sample"] for given in seen)
    assert own == {"x": 1}
    np.testing.assert_array_equal(file["x"], [[1, 2]])
    assert file["name"] == "text"
    assert none is None
    assert [given["tolerance"] for given in seen] == [0.5] * 3


def test_a_sample_with_pickles_is_refused(build, recipe, tmp_path):
    np.savez(tmp_path / "f.npz", x=np.array([print], dtype=object))
    status, _, errors = build(recipe(small()), "--sample", tmp_path / "f.npz")
    assert status == 2
    assert "is not an .npz file of plain arrays" in errors[0]


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\3\4", "one array"])
def test_a_sample_that_is_no_npz(build, recipe, tmp_path, content):
    with (tmp_path / "f.npz").open("wb") as file:
        file.write(content) if isinstance(content, bytes) else np.save(file, np.ones(2))
    status, _, errors = build(recipe(small()), "--sample", tmp_path / "f.npz")
    assert (status, len(errors)) == (2, 1)


def test_an_existing_archive(build, recipe, tmp_path):
    text = recipe(small())
    assert build(text)[0] == 0
    status, _, errors = build(text)
    assert status == 2
    assert "model.mar exists" in errors[0]
    assert build(text, "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("raise ValueError('no weights')", r"raised ValueError: no weights (recipe.py, line 1)"),
        ("import sys\nsys.exit('enough')", "raised SystemExit: enough (recipe.py, line 2)"),
        ("def package():\n    return 1 / 0", "raised ZeroDivisionError"),
        ("package = 3", "expected a mapping, or a callable that returns one, got int"),
        ("def package():\n    return [1]", "got list"),
        ("other = {}", "has no package: append :NAME for another name"),
        ("def package(:", "raised SyntaxError"),
        ("import nowhere_to_be_found", "No module named 'nowhere_to_be_found'"),
    ],
)
def test_a_failing_recipe_is_reported_in_one_line(build, recipe, text, told):
    status, out, errors = build(recipe(text))
    assert (status, out) == (2, "")
    assert len(errors) == 1
    assert told in errors[0]


def test_all_wrong_keys_at_once(build, recipe):
    status, _, errors = build(recipe("package = {'modle': 1, 'metadata': {}, 'meta_data': {}}"))
    assert status == 2
    assert [line.rpartition(": ")[2] for line in errors][1] == "model is missing"
    assert "metadata and meta_data mean the same" in errors[0]
    assert "'modle' is not an argument of packing: the keys are model, " in errors[2]


def test_metadata_is_found_by_the_sample(build, recipe, tmp_path):
    text = RECIPE.replace('"meta_data": {"inputs": []}', '"sample": {"x": torch.ones(1, 2)}')
    status, out, _ = build(recipe(text))
    assert status == 0
    assert out.splitlines()[:4] == [
        "metadata as the sample shows it, for review:",
        "input   x       ndarray  [-1, 2]",
        "output  output  ndarray  [-1, 3]",
        "model: x -> output",
    ]
    with zipfile.ZipFile(tmp_path / "zoo" / "model.mar") as archive:
        assert json.loads(archive.read("metadata.json"))["inputs"][0]["name"] == "x"


@pytest.mark.parametrize(
    ("more", "advice"),
    [
        ("", "give it, or a sample that shows what it is"),
        ("'sample': {'x': torch.ones(1, 2)}, 'handler': 'own.py'", "give it where handler is"),
    ],
)
def test_metadata_that_cannot_be_found_is_asked_for(build, recipe, more, advice):
    text = f"import torch\npackage = {{'model': torch.nn.Linear(2, 2), {more}}}"
    status, _, errors = build(recipe(text))
    assert (status, len(errors)) == (2, 1)
    assert f"meta_data is missing: {advice}" in errors[0]


def test_every_problem_of_packing_is_a_line(build, recipe):
    status, _, errors = build(recipe(small('"serving": {"workers": 0, "wokers": 1}')))
    assert status == 2
    assert len(errors) == 2
    assert all(line.startswith("eisen-pack: serving") for line in errors)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("nothing.py", "there is no file nothing.py"),
        ("recipe_nowhere", "there is no module recipe_nowhere"),
        ("recipe_nowhere.inner:x", "there is no module recipe_nowhere.inner"),
        ("..x", "there is no module ..x"),
    ],
)
def test_no_such_target(build, target, told):
    status, _, errors = build(target)
    assert status == 2
    assert told in errors[0]


def test_a_file_without_its_ending(build, recipe, tmp_path, monkeypatch):
    recipe(small(), "recipe_here.py")
    monkeypatch.chdir(tmp_path)
    assert build("recipe_here")[0] == 0
    status, _, errors = build("recipe_there")
    assert (status, len(errors)) == (2, 1)


@pytest.mark.slow
def test_the_same_recipe_gives_the_same_bytes_in_another_process(recipe, tmp_path):
    path = recipe(RECIPE)
    command = [sys.executable, "-W", "error", "-m", "eisen_deploy.packaging.cli", "build", path]
    for seed in ("1", "2"):
        subprocess.run(
            [*command, "-o", tmp_path / seed], check=True, env={"PYTHONHASHSEED": seed}, timeout=60
        )
    one, other = ((tmp_path / seed / "model.mar").read_bytes() for seed in ("1", "2"))
    assert one == other
