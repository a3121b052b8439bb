"""Where the code that model and transforms need comes from: one decision for each module."""

from __future__ import annotations

import importlib
import json
import sys
import types
import zipfile
from pathlib import Path

import pytest
import torch

from eisen_deploy.packaging import (
    EisenServingMAR,
    InvalidFiles,
    InvalidRequirements,
    NotSerializable,
    UnresolvedCode,
)
from eisen_deploy.packaging._capture import module_search, needed_modules, pickle_references


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Write files into a folder on the import path, and forget their modules afterwards."""
    folder = tmp_path / "project"
    folder.mkdir()
    known = set(sys.modules)
    monkeypatch.syspath_prepend(folder)

    def write(**sources: str) -> Path:
        for name, source in sources.items():
            path = folder / f"{name.replace('__', '/')}.py"
            path = path.with_name("__init__.py") if path.stem == "init" else path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        importlib.invalidate_caches()
        return folder

    yield write
    for name in set(sys.modules) - known:
        del sys.modules[name]


def distribution(folder, name, version, files, requires=(), **more):
    """Install a distribution into a folder as far as its metadata goes."""
    information = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    information.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {each}" for each in requires]
    (information / "METADATA").write_text("\n".join(lines) + "\n")
    (information / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    for file, text in more.items():
        (information / f"{file}.json").write_text(text)


@pytest.fixture
def pack(tmp_path):
    """Pack a transform; return what the archive says, and the names of its files."""

    def packed(transform, **arguments):
        packer = EisenServingMAR(transform, None, {})
        path = packer.pack(torch.nn.Identity(), tmp_path / "out", overwrite=True, **arguments)
        with zipfile.ZipFile(path) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        return json.loads(files["eisen.json"]), files

    return packed


def decisions(said):
    return {name: module["decision"] for name, module in said["modules"].items()}


def captured(files):
    return sorted(name for name in files if name.startswith("captured_code/"))


# --- local code ---------------------------------------------------------------------------


def test_a_package_travels_as_far_as_it_is_reached(project, pack):
    folder = project(
        nets__init="from .unet import UNet",
        nets__unet="from . import blocks\nfrom .deep.er import act\nclass UNet:\n"
        "    def __call__(self, data): return act(data)\n",
        nets__blocks="import math",
        nets__deep__er="import nets.late\ndef act(data): return data\n",
        nets__late="",
        nets__training="import no_such_tracker",
    )
    nets = importlib.import_module("nets")
    said, files = pack(nets.UNet())
    assert captured(files) == [
        "captured_code/nets/__init__.py",
        "captured_code/nets/blocks.py",
        "captured_code/nets/deep/er.py",
        "captured_code/nets/late.py",
        "captured_code/nets/unet.py",
    ]
    assert files["captured_code/nets/unet.py"] == (folder / "nets" / "unet.py").read_bytes()
    assert said["modules"]["nets.blocks"] == {
        "decision": "captured",
        "file": "captured_code/nets/blocks.py",
        "needed_by": "nets.unet, line 1",
    }
    assert decisions(said)["math"] == "standard library"
    assert said["requirements"] == []
    assert "requirements.txt" not in files


def test_a_base_class_brings_its_module(project, pack):
    project(base="class Base:\n    def __call__(self, data): return data\n")
    base = importlib.import_module("base")

    class Own(base.Base):
        pass

    Own.__module__ = "__main__"
    said, files = pack(Own())
    assert captured(files) == ["captured_code/base.py"]
    assert decisions(said)["__main__"] == "by value"
    assert said["modules"]["base"]["needed_by"] == "pre_processing (Base)"


def test_what_a_function_of_the_script_imports_when_it_runs_travels(project, pack):
    project(late="import later", later="")

    def transform(data):
        from late import later  # noqa: F401

        return data

    transform.__module__ = "__main__"
    _, files = pack(transform)
    assert captured(files) == ["captured_code/late.py", "captured_code/later.py"]


def test_a_namespace_package_has_no_file_of_its_own(project, pack):
    project(space__part="def same(data): return data\n")
    _, files = pack(importlib.import_module("space.part").same)
    assert captured(files) == ["captured_code/space/part.py"]


def test_modules_in_a_zip_file_are_read_from_it(tmp_path, project, pack):
    folder = project()
    with zipfile.ZipFile(folder / "lib.zip", "w") as archive:
        archive.writestr("zipped.py", "def same(data): return data\n")
    sys.path.insert(0, str(folder / "lib.zip"))
    try:
        _, files = pack(importlib.import_module("zipped").same)
    finally:
        sys.path.remove(str(folder / "lib.zip"))
    assert files["captured_code/zipped.py"] == b"def same(data): return data\n"


def test_a_module_that_the_program_made_goes_by_value(project, pack):
    project(helper="def same(data): return data\n")
    notebook = types.ModuleType("cell_7")
    sys.modules["cell_7"] = notebook
    source = "import helper\nclass T:\n    def __call__(self, data): return helper.same(data)\n"
    exec(source, notebook.__dict__)
    said, files = pack(notebook.T())
    assert captured(files) == ["captured_code/helper.py"]
    assert decisions(said)["cell_7"] == "by value"


def test_an_editable_installation_is_the_user_s_own_code(project, pack):
    folder = project(workshop__init="", workshop__tools="def same(data): return data\n")
    url = json.dumps({"url": folder.as_uri(), "dir_info": {"editable": True}})
    distribution(folder, "the-workshop", "3.1", ["_the_workshop.pth"], direct_url=url)
    transform = importlib.import_module("workshop.tools").same
    said, files = pack(transform)
    assert captured(files) == [
        "captured_code/workshop/__init__.py",
        "captured_code/workshop/tools.py",
    ]
    assert said["requirements"] == []

    said, files = pack(transform, requirements=["the-workshop>=3"])
    assert captured(files) == []
    assert decisions(said)["workshop"] == "installed"
    assert said["requirements"] == ["the-workshop>=3"]


# --- what is installed --------------------------------------------------------------------


def test_what_is_installed_becomes_a_requirement_with_all_that_it_needs(project, pack):
    folder = project(alpha__init="def same(data): return data\n", beta="", gamma="")
    distribution(
        folder,
        "Al.pha",
        "1.0+cu118",
        ["alpha/__init__.py"],
        ["be_ta>=2", "numpy", "torch", "absent"],
    )
    distribution(folder, "be-ta", "2.5", ["beta.py"], ['gamma; extra == "more"', "al-pha"])
    distribution(folder, "gamma", "9", ["gamma.py"])
    said, files = pack(importlib.import_module("alpha").same)
    assert said["requirements"] == ["al-pha==1.0", "be-ta==2.5"]
    assert files["requirements.txt"].decode().splitlines()[2:] == said["requirements"]
    assert said["modules"]["alpha"] == {
        "decision": "installed",
        "distribution": "al-pha",
        "needed_by": "pre_processing (same)",
    }
    assert captured(files) == []


def test_a_requirement_of_the_user_replaces_the_version_that_is_here(project, pack):
    folder = project(alpha="def same(data): return data\n")
    distribution(folder, "alpha", "1.0", ["alpha.py"])
    said, _ = pack(importlib.import_module("alpha").same, requirements=["alpha>=1,<2", "zeta==7"])
    assert said["requirements"] == ["alpha<2,>=1", "zeta==7"]


def test_a_requirement_without_a_version_gets_the_one_that_is_here(pack, project):
    folder = project(alpha="")
    distribution(folder, "alpha", "1.0", ["alpha.py"])
    said, _ = pack(None, requirements=['Alpha[more]; python_version > "3"', "absent"])
    assert said["requirements"] == ["absent", 'alpha[more]==1.0; python_version > "3"']


def test_a_part_of_a_namespace_belongs_to_the_distribution_that_contains_it(project, pack):
    folder = project(shared_space__one="def same(data): return data\n", shared_space__two="")
    distribution(folder, "space-one", "1", ["shared_space/one.py"])
    distribution(folder, "space-two", "2", ["shared_space/two.py"])
    said, _ = pack(importlib.import_module("shared_space.one").same)
    assert said["requirements"] == ["space-one==1"]
    assert decisions(said)["shared_space.one"] == "installed"


def test_torch_and_numpy_are_not_requirements_and_dill_travels(pack):
    def transform(data):
        import dill
        import numpy as np

        return {"x": np.ones(1), "y": dill}

    transform.__module__ = "__main__"
    said, _ = pack(transform)
    found = decisions(said)
    assert {found["torch"], found["numpy"]} == {"server"}
    assert found["dill"] == "archive"
    assert said["requirements"] == []


# --- what the user says -------------------------------------------------------------------


def test_code_paths_are_copied_whole_and_their_imports_followed(project, pack, tmp_path):
    project(tools__init="from . import used\ndef same(data): return data\n", other="")
    inner = tmp_path / "project" / "tools"
    (inner / "used.py").write_text("import other\n")
    (inner / "unused.py").write_text("import no_such_module\n")
    (inner / "weights.bin").write_bytes(b"\x00\x01")
    said, files = pack(importlib.import_module("tools").same, code_paths=[inner])
    assert captured(files) == [
        "captured_code/other.py",
        "captured_code/tools/__init__.py",
        "captured_code/tools/unused.py",
        "captured_code/tools/used.py",
        "captured_code/tools/weights.bin",
    ]
    assert decisions(said)["tools.used"] == "given"
    assert decisions(said)["other"] == "captured"


def test_a_code_path_wins_over_an_installed_distribution(project, pack):
    folder = project(alpha="def same(data): return data\n")
    distribution(folder, "alpha", "1.0", ["alpha.py"])
    said, files = pack(importlib.import_module("alpha").same, code_paths=[folder / "alpha.py"])
    assert said["requirements"] == []
    assert captured(files) == ["captured_code/alpha.py"]


def test_additional_files_are_importable_and_not_copied_twice(project, pack):
    folder = project(helper="import second\ndef same(data): return data\n", second="")
    said, files = pack(
        importlib.import_module("helper").same, additional_files=[folder / "helper.py"]
    )
    assert "helper.py" in files
    assert captured(files) == ["captured_code/second.py"]
    assert decisions(said)["helper"] == "given"


def test_imports_of_a_handler_travel_except_those_that_only_a_server_has(project, tmp_path):
    folder = project(operations="")
    handler = folder / "my_handler.py"
    handler.write_text(
        "import operations\nimport ts.torch_handler\nimport only_on_the_server\n"
        "from eisen_deploy.serving import EisenServingHandler\n"
        "class Mine(EisenServingHandler):\n    pass\n"
    )
    path = EisenServingMAR(None, None, {}, handler).pack(torch.nn.Identity(), tmp_path)
    with zipfile.ZipFile(path) as archive:
        said = json.loads(archive.read("eisen.json"))
        assert captured(archive.namelist()) == ["captured_code/operations.py"]
    found = decisions(said)
    assert found["operations"] == "captured"
    assert found["ts"] == "server"
    assert found["only_on_the_server"] == "not found"
    assert found["eisen_deploy"] == "archive"


@pytest.mark.parametrize(
    ("requirements", "problems"),
    [
        ("scipy", ["requirements: expected a list of texts, got str"]),
        (5, ["requirements: expected a list of texts, got int"]),
        (
            ["scipy==", 3, "scipy"],
            [
                "requirements[0]: expected a text such as 'scipy==1.16.0', got 'scipy=='",
                "requirements[1]: expected a text such as 'scipy==1.16.0', got 3",
            ],
        ),
        (["Sci_Py>1", "sci-py<2"], ["requirements[1]: sci-py is given twice"]),
    ],
)
def test_texts_that_are_not_requirements(pack, requirements, problems):
    with pytest.raises(InvalidRequirements) as caught:
        pack(None, requirements=requirements)
    assert list(caught.value.problems) == problems


def test_code_paths_that_cannot_travel(pack, tmp_path):
    (tmp_path / "torch.py").write_text("")
    with pytest.raises(InvalidFiles) as caught:
        pack(None, code_paths=[tmp_path / "torch.py", tmp_path / "none.py"])
    assert list(caught.value.problems) == [
        "code_paths: torch.py would hide the module torch on the server",
        f"code_paths: {tmp_path / 'none.py'} does not exist",
    ]


# --- what no server would find ------------------------------------------------------------


def refused(pack, transform, **arguments):
    with pytest.raises(UnresolvedCode) as caught:
        pack(transform, **arguments)
    return list(caught.value.problems)


def test_each_module_that_is_not_here_is_named_with_who_needs_it(project, pack):
    project(
        helper="import no_such_a\ndef f():\n    import no_such_b\ndef same(data): return data\n"
    )
    sys.modules["no_such_a"] = types.ModuleType("no_such_a")
    first, second = refused(pack, importlib.import_module("helper").same)
    assert first == (
        "helper, line 1 needs the module no_such_a, which was made by the running program, and no "
        "file holds it: put it into a file, or define what you need in the script"
    )
    assert second == (
        "helper, line 3 needs the module no_such_b, which is not found here, so it cannot be "
        "packed: install it, pass its distribution in requirements=, or catch ImportError where "
        "it is imported"
    )


def test_a_requirement_of_the_user_answers_for_a_module_that_is_not_here(project, pack):
    project(helper="def f():\n    import no_such_b\ndef same(data): return data\n")
    said, _ = pack(importlib.import_module("helper").same, requirements=["no-such-b==1"])
    assert decisions(said)["no_such_b"] == "installed"


def test_an_import_that_is_caught_or_never_runs_may_be_missing(project, pack):
    project(
        helper="""
import sys
from typing import TYPE_CHECKING
try:
    import no_such_a
except ImportError:
    if sys is None:
        import no_such_b
if TYPE_CHECKING:
    import no_such_c
if sys.platform == "no such":
    import no_such_d
def same(data): return data
"""
    )
    said, _ = pack(importlib.import_module("helper").same)
    found = decisions(said)
    assert {found[f"no_such_{each}"] for each in "abd"} == {"not found"}
    assert "no_such_c" not in found


def test_a_compiled_module_that_is_not_installed_is_refused(project, pack):
    folder = project(helper="import fast_ops\ndef same(data): return data\n")
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    (folder / f"fast_ops{suffix}").write_bytes(b"")
    sys.modules["fast_ops"] = types.ModuleType("fast_ops")
    (problem,) = refused(pack, importlib.import_module("helper").same)
    assert problem == (
        f"helper, line 1 needs the module fast_ops, which has no source (fast_ops{suffix}): "
        "install it as a distribution, which then becomes a requirement"
    )


def test_a_module_that_would_hide_one_of_the_server_is_refused(project, pack):
    project(helper="import usercustomize\ndef same(data): return data\n", usercustomize="")
    (problem,) = refused(pack, importlib.import_module("helper").same)
    assert problem == (
        "helper, line 1 needs the module usercustomize, which would hide the module usercustomize "
        "on the server: give it another name"
    )


def test_an_open_file_is_refused(pack, tmp_path):
    path = tmp_path / "weights.txt"
    path.write_text("1")
    with path.open() as file:

        def transform(data):
            return {"x": file.read(), **data}

        with pytest.raises(NotSerializable, match=r"an open file \(.*weights.txt\) stays on this"):
            pack(transform)


# --- the pieces ---------------------------------------------------------------------------


def test_references_are_read_from_pickles_of_every_protocol():
    import collections
    import pickle

    obj = [collections.OrderedDict(a=1), torch.device("cpu"), torch.device, "torch", "x" * 300]
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        found = pickle_references.find_references(pickle.dumps(obj, protocol))
        assert pickle_references.Reference("torch", "device") in found
        assert pickle_references.Reference("collections", "OrderedDict") in found


@pytest.mark.parametrize("data", [b"", b"no pickle", b"\x80\x04\x8c\x01a", b"\x80\x04]\x93."])
def test_bytes_that_are_not_a_pickle_are_reported(data):
    with pytest.raises(ValueError):  # noqa: PT011 - pickletools has no class of its own
        pickle_references.find_references(data)


def test_imports_of_source():
    source = b"""
import a.b, c as d
from e import f, g
from . import h
from ..i import j
def later():
    import importlib
    importlib.import_module("k.l")
    importlib.import_module(".m", __package__)
    __import__(name)
class C:
    try:
        import n
    except (ImportError, OSError):
        n = None
    try:
        import o
    except OSError:
        o = None
"""
    found = needed_modules.find_needs_of_source(source, "top.mid.mod", is_package=False)
    assert [(each.module, each.names, each.optional) for each in found] == [
        ("a.b", (), False),
        ("c", (), False),
        ("e", ("f", "g"), False),
        ("top.mid", ("h",), False),
        ("top.i", ("j",), False),
        ("importlib", (), False),
        ("k.l", (), False),
        ("top.mid.m", (), False),
        ("n", (), True),
        ("o", (), False),
    ]


def test_imports_of_code():
    def function():
        import a.b
        from c import d

        try:
            import e
        except ImportError:
            e = None
        return a, d, e

    found = needed_modules.find_needs_of_code(function.__code__, "pre")
    assert [(each.module, each.names) for each in found] == [("a.b", ()), ("c", ("d",)), ("e", ())]
    assert all(each.optional for each in found)  # the code does not show which of them


def test_nothing_is_imported_to_find_a_module(project):
    project(loud__init="raise SystemExit", loud__inner="raise SystemExit")
    spec = module_search.find_spec("loud.inner")
    assert spec is not None
    assert spec.origin.endswith("inner.py")
    assert "loud" not in sys.modules
    assert module_search.find_spec("loud.absent") is None


def test_a_module_in_namespace_packages_that_are_not_imported_is_found(tmp_path, monkeypatch):
    """As where ``eisen-pack verify`` is called in the folder that the model's code is in."""
    folder = tmp_path / "not_imported_outer" / "inner"
    folder.mkdir(parents=True)
    (folder / "net.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = module_search.find_spec("not_imported_outer.inner.net")
    assert spec is not None
    assert spec.origin == str(folder / "net.py")
    assert module_search.find_spec("not_imported_outer.inner.other") is None
