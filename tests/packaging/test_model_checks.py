"""What packing does not take from a model as it is: reported, recorded or refused first."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import textwrap
import zipfile

import numpy as np
import pytest
import torch

from eisen_deploy.packaging import (
    EisenServingMAR,
    NotSerializable,
    ProofFailed,
    UnresolvedCode,
    UnsupportedModel,
    create_metadata,
)
from eisen_deploy.packaging.cli import main

from .small_parts import ByName, Decorated, Uncertain

METADATA = create_metadata(["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]])
SAMPLE = {"x": np.ones((1, 2), np.float32)}
NO_SAMPLE = "packed without a sample: nothing shows that the archive answers as"


@pytest.fixture
def pack(tmp_path, caplog):
    """Pack, and return what ``eisen.json`` says of the model and what was remarked."""

    def run(model, metadata=METADATA, *, pre=None, handler=None, **options):
        caplog.clear()
        packer = EisenServingMAR(pre, None, metadata, handler)
        path = packer.pack(model, tmp_path / "zoo", overwrite=True, **options)
        with zipfile.ZipFile(path) as archive:
            about = json.loads(archive.read("eisen.json"))
        said = [each.getMessage() for each in caplog.records if "packaging" in each.name]
        return about["model"], said

    return run


def uncertain():
    model = Uncertain().eval()
    model.drop.train()
    return model


# --- what is said ---------------------------------------------------------------------------


def test_packing_without_a_sample_is_said_in_one_line(pack):
    _, said = pack(torch.nn.Identity())
    assert len(said) == 1
    assert said[0].startswith(NO_SAMPLE)
    assert "\n" not in said[0]


@pytest.mark.slow  # it predicts in processes of its own
def test_with_a_sample_there_is_nothing_to_say(pack):
    assert pack(torch.nn.Identity(), sample=SAMPLE)[1] == []
    model, said = pack(Uncertain().train(), sample=SAMPLE)
    assert model["training"] == said == []


@pytest.mark.slow
def test_without_logging_set_up_the_line_is_on_standard_error(tmp_path):
    script = """
    import sys, torch
    from eisen_deploy.packaging import EisenServingMAR
    EisenServingMAR(None, None, {}).pack(torch.nn.Identity(), sys.argv[1])
    """
    command = [sys.executable, "-c", textwrap.dedent(script), tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.startswith(NO_SAMPLE)
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize("logging_of_recipe", ["", "import logging; logging.basicConfig()\n"])
def test_the_program_prints_the_line_once(tmp_path, capsys, logging_of_recipe, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    recipe = tmp_path / "recipe.py"
    package = "package = {'model': torch.nn.Identity(), 'meta_data': {}}"
    recipe.write_text(f"{logging_of_recipe}import torch\n{package}\n")
    assert main(["build", str(recipe), "-o", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert said.err.startswith(f"eisen-pack: {NO_SAMPLE}")
    assert said.err.count("\n") == 1
    assert said.out.startswith(str(tmp_path / "model.mar"))
    assert main(["inspect", "--json", str(tmp_path / "model.mar")]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["sample"] is None
    assert said.err == ""
    assert main(["inspect", str(tmp_path / "model.mar")]) == 0
    assert "none, so nothing shows that it answers as what was packed" in capsys.readouterr().out


def test_inputs_with_names_of_other_parameters_are_remarked(pack):
    class Scale(torch.nn.Identity):
        def forward(self, x, by):
            return x * by

    swapped = create_metadata(
        *(["by", "x"], ["ndarray"] * 2, [[-1, 2]] * 2, ["y"], ["ndarray"], [[-1, 2]])
    )
    _, said = pack(Scale(), swapped)
    assert said[0].startswith("model: the input by goes to the parameter x: inputs are passed in")
    right = {**swapped, "model_input_list": ["x", "by"]}
    assert len(pack(Scale(), right)[1]) == 1


def test_parts_that_were_compiled_are_remarked(pack):
    model = torch.nn.Sequential(torch.compile(torch.nn.Linear(2, 2), backend="eager"))
    _, said = pack(model)
    assert said[0].startswith("model: packed without the torch.compile of 0 (")


# --- modes ----------------------------------------------------------------------------------


def test_submodules_that_stay_in_training_mode_are_recorded_and_said(pack, tmp_path, capsys):
    model, said = pack(uncertain())
    assert model["training"] == ["drop"]
    assert "these are in training mode: drop" in said[0]
    assert main(["inspect", str(tmp_path / "zoo" / "model.mar")]) == 0
    assert "in training mode  drop" in capsys.readouterr().out


def test_a_model_in_training_mode_is_served_in_evaluation_mode(pack):
    model = Uncertain().train()
    said, remarks = pack(model)
    assert said["training"] == remarks[:-1] == []
    assert model.training
    assert model.drop.training


def test_a_sample_of_a_random_model_names_what_is_random(pack):
    torch.manual_seed(0)  # two runs may drop the same by chance
    with pytest.raises(ProofFailed) as caught:
        pack(uncertain(), sample=SAMPLE)
    assert "in training mode are drop, where dropout is random" in str(caught.value)
    assert "without a sample if that is meant, or call model.eval() before" in str(caught.value)


# --- inputs ---------------------------------------------------------------------------------


def test_what_goes_by_name_is_recorded(pack):
    model, _ = pack(ByName())
    assert model["keywords"] == ["x"]


@pytest.mark.parametrize("metadata", [{}, {"inputs": []}, {"model_input_list": ["image"]}])
def test_undeclared_names_are_refused(pack, metadata):
    with pytest.raises(UnsupportedModel, match="by name"):
        pack(ByName(), metadata)


def test_a_handler_may_call_the_model_as_it_likes(pack, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from eisen_deploy.serving import EisenServingHandler\n"
        "class Mine(EisenServingHandler): pass\n"
    )
    pack(ByName(), {"model_input_list": ["image"]}, handler=tmp_path / "mine.py")


def test_a_hook_may_change_what_is_passed(pack):
    model = torch.nn.Bilinear(2, 2, 2)
    model.register_forward_pre_hook(lambda _, given: (given[0], given[0]))
    pack(model)


def test_a_users_own_decorator_is_not_looked_through(pack):
    pack(Decorated())


# --- what is not ready ----------------------------------------------------------------------


def test_all_problems_of_a_model_are_reported_at_once(pack):
    model = torch.nn.Sequential(torch.nn.LazyLinear(2), torch.nn.Linear(2, 2, device="meta"))
    model.append(torch.nn.DataParallel(torch.nn.Identity()))
    with pytest.raises(UnsupportedModel) as caught:
        pack(model)
    assert [problem.split(": ")[0] for problem in caught.value.problems] == ["model.2"] + [
        "model"
    ] * 2
    assert "0 never had an input" in str(caught.value)
    assert "1.weight, 1.bias on the device meta" in str(caught.value)


def test_a_lazy_layer_that_has_seen_an_input_is_an_ordinary_one(pack):
    model = torch.nn.Sequential(torch.nn.LazyLinear(2))
    model(torch.ones(1, 2))
    pack(model)


def test_wrappers_around_wrappers_are_taken_off(pack):
    inner = torch.nn.DataParallel(torch.nn.Identity())
    _, said = pack(torch.optim.swa_utils.AveragedModel(inner))
    assert [each.rpartition(" ")[2] for each in said[:-1]] == ["AveragedModel", "DataParallel"]


def test_a_wrapper_with_a_hook_of_its_own_stays_and_is_refused(pack):
    model = torch.nn.DataParallel(torch.nn.Identity())
    model.register_forward_hook(lambda module, given, out: 2 * out)
    with pytest.raises(UnsupportedModel, match="put what is in its attribute module in its place"):
        pack(model)


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (torch.nn.DataParallel(torch.nn.Identity()), "DataParallel wraps a module for training"),
        (torch.nn.LazyLinear(2), "run the model once before"),
    ],
)
def test_what_is_held_outside_of_modules_is_refused_too(pack, module, reason):
    model = torch.nn.Sequential(torch.nn.Identity())
    model[0].others = [module]
    with pytest.raises(NotSerializable, match=f"{reason}.*in the submodule 0"):
        pack(model)


def test_unnamed_outputs_are_reported_with_a_sample(pack):
    class Two(torch.nn.Identity):
        def forward(self, x):
            return {"logits": x, "features": x}

    with pytest.raises(ProofFailed, match=r"the model gives logits, features by name and no y"):
        pack(Two(), sample=SAMPLE)


# --- modules that pack ----------------------------------------------------------------------


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module with a model in it, and return that."""

    def write(name, before):
        text = f"import torch\n{before}\nclass Net(torch.nn.Identity):\n    pass\n"
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        return __import__(name).Net()

    return write


@pytest.mark.parametrize(
    "line",
    [
        "import eisen_deploy.packaging",
        "from eisen_deploy import packaging",
        "from eisen_deploy.packaging import EisenServingMAR as Packer",
        "from eisen_deploy.client import EisenServingClient",
    ],
)
def test_a_module_that_imports_what_packs_is_refused_with_the_line(pack, module, line):
    name = f"packs_{abs(hash(line))}"
    with pytest.raises(UnresolvedCode) as caught:
        pack(module(name, line))
    assert f"{name}, line 2 ({name}.py) needs the module eisen_deploy." in str(caught.value)
    assert "import it where it is used, in a function or under if __name__" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    from eisen_deploy.packaging import EisenServingMAR",
        "try:\n    import eisen_deploy.packaging\nexcept ImportError: pass",
        "if __name__ == '__main__':\n    import eisen_deploy.packaging, no_such_module",
        "if '__main__' == __name__ and True:\n    import no_such_module",
        "class C:\n    def f(self):\n        return [__import__('eisen_deploy.packaging')]",
    ],
)
def test_imports_that_no_server_runs_are_left_out(pack, module, text):
    pack(module(f"packs_later_{abs(hash(text))}", text))


def test_an_import_of_the_packer_is_allowed_if_the_user_asks_for_it(pack, module):
    model = module("asks_another_server", "import eisen_deploy.client")
    pack(model, requirements=["eisen-deploy-client"])
