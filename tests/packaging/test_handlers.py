"""``handler=``: ours, a file, or one of TorchServe's."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from eisen_deploy.packaging import EisenServingMAR, InvalidHandler, UnsupportedModel
from eisen_deploy.packaging._arguments.handler_argument import TORCHSERVE_HANDLERS

SUBCLASS = """
raise SystemExit("this file must not be run")
from eisen_deploy.serving import EisenServingHandler

class MyHandler(EisenServingHandler):
    def post_process(self, output_dict):
        return output_dict
"""


def _pack(handler, model, folder):
    """Return manifest, eisen.json and names of an archive with such a handler."""
    path = EisenServingMAR(dict, None, {"a": 1}, handler).pack(model, folder)
    with zipfile.ZipFile(path) as opened:
        manifest = json.loads(opened.read("MAR-INF/MANIFEST.json"))
        about = json.loads(opened.read("eisen.json"))
        return manifest["model"]["handler"], about["handler"], set(opened.namelist())


def _file(folder: Path, text: str, name: str = "my_handler.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_with_a_subclass_is_named_in_eisen_json(kind, linear, tmp_path):
    handler = kind(_file(tmp_path, SUBCLASS))
    entry, about, names = _pack(handler, linear, tmp_path / "out")
    assert entry == "_eisen_serving.torchserve.entry"
    assert about == {"file": "my_handler.py", "class": "MyHandler"}
    assert {"my_handler.py", "pre_process_tform.pkl", "metadata.json"} <= names


@pytest.mark.parametrize(
    "text",
    [
        "import eisen_deploy.serving as s\nclass A(s.EisenServingHandler): ...",
        "from eisen_deploy.serving import EisenServingHandler as Base\nclass A(Base): ...",
        "class Mixin: ...\nclass A(Mixin, EisenServingHandler, metaclass=M): ...",
        "class Common(EisenServingHandler): ...\nclass A(Common): ...",
        "class A(EisenServingHandler): ...\nclass Other(Exception): ...",
    ],
)
def test_ways_to_write_the_base(text, linear, tmp_path):
    entry, about, _ = _pack(_file(tmp_path, text), linear, tmp_path / "out")
    assert entry == "_eisen_serving.torchserve.entry"
    assert about == {"file": "my_handler.py", "class": "A"}


def test_another_python_file_is_left_to_torchserve(linear, tmp_path):
    text = "def handle(data, context):\n    return data\n"
    entry, about, names = _pack(_file(tmp_path, text, "own-handler.py"), linear, tmp_path / "out")
    assert entry == "own-handler.py"
    assert about is None
    assert {
        "own-handler.py",
        "_eisen_serving/torchserve/entry.py",
        "pre_process_tform.pkl",
    } <= names


def test_the_file_is_read_when_it_is_packed(linear, tmp_path):
    path = _file(tmp_path, SUBCLASS)
    packer = EisenServingMAR(None, None, {}, path)
    path.write_text(SUBCLASS.replace("MyHandler", "Renamed"))
    with zipfile.ZipFile(packer.pack(linear, tmp_path / "out")) as opened:
        assert opened.read("my_handler.py") == path.read_bytes()
        assert json.loads(opened.read("eisen.json"))["handler"]["class"] == "Renamed"
    path.unlink()
    with pytest.raises(InvalidHandler, match="existing"):
        packer.pack(linear, tmp_path / "out", overwrite=True)


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("name", TORCHSERVE_HANDLERS)
def test_handlers_of_torchserve_take_torchscript_only(name, linear, traced, exported, tmp_path):
    entry, about, _ = _pack(name, traced, tmp_path / "out")
    assert (entry, about) == (name, None)
    for model in (linear, exported):
        with pytest.raises(UnsupportedModel, match=rf"{name} loads TorchScript only.*ScriptModule"):
            EisenServingMAR(None, None, {}, name).pack(model, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_list_of_torchserves_handlers_is_that_of_the_installed_one():
    """Each is a module of TorchServe, and a name that its archiver knows."""
    from importlib.util import find_spec

    from model_archiver.model_packaging_utils import model_handlers

    folder = Path(find_spec("ts").origin).parent / "torch_handler"
    assert all((folder / f"{name}.py").is_file() for name in TORCHSERVE_HANDLERS)
    # The other two load no model.pt.
    assert set(model_handlers) - set(TORCHSERVE_HANDLERS) == {"vllm_handler", "trt_llm_handler"}


@pytest.mark.parametrize(
    "handler", ["no_such_handler", "missing.py", "my_handler.py:handle", "", 3, ["x"], "."]
)
def test_anything_else_is_refused_at_once(handler):
    with pytest.raises(InvalidHandler, match=r"expected the path of an existing \.py file or one"):
        EisenServingMAR(None, None, {}, handler)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("two.py", "class A(EisenServingHandler): ...\nclass B(EisenServingHandler): ...", "A, B"),
        ("broken.py", "def (:", "is not Python"),
        ("null.py", "x = 1\0", "is not Python"),
        ("json.py", SUBCLASS, "would hide the module json"),
        ("torch.py", SUBCLASS, "would hide the module torch"),
        ("a.b.py", SUBCLASS, "cannot be imported"),
        ("1st.py", SUBCLASS, "cannot be imported"),
        ("com1.py", SUBCLASS, "device on Windows"),
    ],
)
def test_files_that_cannot_be_handlers(name, text, problem, tmp_path):
    with pytest.raises(InvalidHandler, match=problem):
        EisenServingMAR(None, None, {}, _file(tmp_path, text, name))
