"""Code of ``__main__``: it loads where only the archive is, and the bytes are always the same."""

from __future__ import annotations

import json
import sys
import threading
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from eisen_deploy.packaging import EisenServingMAR, NotSerializable
from eisen_deploy.packaging._pickles import pickle_files, pickler
from eisen_deploy.packaging._pickles.object_graph import Graph

slow = pytest.mark.slow  # scripts that import torch and pack

SCRIPT = Path(__file__).parent / "scripts"
ENVIRONMENTS = [
    {"PYTHONHASHSEED": "1", "TZ": "UTC", "LC_ALL": "C"},
    {"PYTHONHASHSEED": "4242", "TZ": "Asia/Kathmandu", "LC_ALL": "C.UTF-8"},
]


@pytest.fixture(scope="module")
def packed(tmp_path_factory, python):
    """Pack one script's models in two processes that differ in all that may not matter."""
    folders = [tmp_path_factory.mktemp(f"run{number}") for number in range(2)]
    scripted = tmp_path_factory.mktemp("scripted") / "scripted.pt"
    module = torch.nn.Sequential(torch.nn.Conv1d(1, 2, 1), torch.nn.BatchNorm1d(2)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit, by torch itself
        torch.jit.script(module).save(str(scripted))
    script = tmp_path_factory.mktemp("training") / "train.py"
    script.write_bytes((SCRIPT / "pack_main.py").read_bytes())

    def run(folder, environment, umask):
        python(script, folder, scripted, cwd=folder, env=environment, umask=umask)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, folders, ENVIRONMENTS, (0o077, 0o002)))
    return folders


@pytest.fixture(scope="module")
def loaded(packed, python):
    """What the archive's pickles do in an interpreter that has torch, numpy and the archive."""
    folder = packed[0] / "unpacked"
    with zipfile.ZipFile(packed[0] / "eager.mar") as opened:
        opened.extractall(folder)
    return json.loads(python(SCRIPT / "load_archive.py", folder, env={"PYTHONPATH": ""}))


@slow
@pytest.mark.parametrize("name", ["eager", "traced", "scripted", "export"])
def test_two_processes_write_the_same_bytes(packed, name):
    first, second = (folder / f"{name}.mar" for folder in packed)
    if first.read_bytes() != second.read_bytes():
        with zipfile.ZipFile(first) as one, zipfile.ZipFile(second) as two:
            assert one.namelist() == two.namelist()
            assert not [item for item in one.namelist() if one.read(item) != two.read(item)]
        pytest.fail("equal contents in different bytes")


@slow
@pytest.mark.parametrize("name", ["eager", "traced", "scripted", "export"])
def test_one_process_writes_the_same_bytes_twice(packed, name):
    for folder in packed:
        again = folder / "again" / f"{name}.mar"
        assert again.read_bytes() == (folder / f"{name}.mar").read_bytes()


@slow
def test_the_vendored_dill_is_the_one_that_unpickles(loaded, packed):
    assert loaded["dill"] == str(packed[0] / "unpacked" / "dill" / "__init__.py")


@slow
def test_the_model_of_main_predicts_the_same(loaded, packed):
    assert loaded["prediction"] == json.loads((packed[0] / "prediction.json").read_text())


@slow
def test_transforms_of_main_give_the_same(loaded, packed):
    assert loaded["transformed"] == json.loads((packed[0] / "transformed.json").read_text())


@slow
def test_classes_are_unpickled_as_one_class_with_their_bases(loaded):
    assert loaded["bases"] == ["Net", "Base", "Module", "object"]
    assert loaded["same_base"] is True


@slow
def test_globals_that_no_code_refers_to_stay_behind(loaded):
    assert loaded["left_behind"] is True


@slow
def test_paths_of_the_training_machine_do_not_travel(packed):
    raw = (packed[0] / "eager.mar").read_bytes()
    assert b"train.py" in raw
    assert str(packed[0].parent).encode() not in raw


def test_code_of_an_exec_namespace_travels(tmp_path, python):
    namespace = {"__name__": "__main__"}
    exec("import math\nunit = 2\ndef pre(b):\n    return {'a': b['a'] * unit * math.pi}", namespace)
    pickle_files.write_pickle(namespace["pre"], tmp_path / "pre.pkl", "pre_processing", Graph())
    script = tmp_path / "load.py"
    script.write_text(
        "import dill, sys\n"
        "with open(sys.argv[1], 'rb') as file:\n"
        "    print(dill.load(file)({'a': 1})['a'])\n"
    )
    assert float(python(script, tmp_path / "pre.pkl")) == pytest.approx(6.2831853)


# --- order and identity -------------------------------------------------------------------


def _dumps(obj) -> bytes:
    import io

    file = io.BytesIO()
    pickler.Pickler(file).dump(obj)
    return file.getvalue()


def test_equal_strings_are_pickled_as_one_string():
    one, other = (f"made {word}" for word in ("twice", "twice"))
    assert one is not other
    assert _dumps([one, one]) == _dumps([one, other])


def test_sets_of_any_items_are_unpickled_as_they_were():
    mixed = {1, "a", None, 2.5, b"x", (1, "b"), frozenset({"p", "q"}), True and 7}
    assert pickler.dill.loads(_dumps(mixed)) == mixed
    assert type(pickler.dill.loads(_dumps(frozenset({1})))) is frozenset


class Node:
    """A thing that is in a set which it refers to."""

    def __init__(self):
        self.around = {self}


def test_a_set_that_contains_itself_is_unpickled_as_it_was():
    node = Node()
    again = pickler.dill.loads(_dumps(node))
    assert again.around == {again}


def test_code_that_has_run_gives_the_same_bytes():
    namespace = {"__name__": "__main__"}
    exec("def f(n):\n    return sum(i * i for i in range(n))", namespace)
    before = _dumps(namespace["f"])
    for _ in range(200):  # long enough for CPython to specialise its instructions
        namespace["f"](10)
    assert _dumps(namespace["f"]) == before


def test_an_instance_pickled_before_leaves_no_trace_in_its_class():
    namespace = {"__name__": "__main__"}
    exec("class C: ...\nkind = C", namespace)
    before = _dumps(namespace["C"])
    _dumps(namespace["C"]())
    assert _dumps(namespace["C"]) == before


def test_settings_of_dill_do_not_matter(monkeypatch):
    namespace = {"__name__": "__main__", "unused": "left behind"}
    exec("def f():\n    return 1", namespace)
    before = _dumps(namespace["f"])
    for key, value in {"recurse": False, "byref": True, "protocol": 2}.items():
        monkeypatch.setitem(pickler.dill.settings, key, value)
    assert _dumps(namespace["f"]) == before
    assert b"left behind" not in before


def test_dill_is_unchanged_after_packing(linear, packer, tmp_path):
    packer.pack(linear, tmp_path)
    with pytest.raises(NotSerializable):
        EisenServingMAR((i for i in ()).__next__, None, {}).pack(linear, tmp_path / "b")
    assert pickler.dill.detect.globalvars.__module__ == "dill.detect"


def test_only_one_thread_pickles_at_a_time():
    """What is set in dill and in warnings meanwhile holds for the whole process."""
    other = threading.Thread(target=_dumps, args=[1])

    class Slow:
        def __reduce__(self):
            other.start()
            other.join(0.2)
            self.waited = other.is_alive()
            return int, ()

    slow = Slow()
    _dumps(slow)
    other.join(10)
    assert slow.waited
    assert not other.is_alive()


def test_modules_go_by_name_wherever_they_are(tmp_path, monkeypatch):
    """dill would take along the whole content of a module outside the environment."""
    (tmp_path / "local_helper.py").write_text("BIG = 'content of the module'\n")
    monkeypatch.syspath_prepend(tmp_path)
    import local_helper

    namespace = {"__name__": "__main__", "local_helper": local_helper}
    exec("def f():\n    return local_helper.BIG", namespace)
    raw = _dumps(namespace["f"])
    assert b"local_helper" in raw
    assert b"content of the module" not in raw


ENUMS = """
import enum, typing
class Mode(enum.Enum):
    FAST = 1
    SLOW = 2
    SLOWEST = 2
    @property
    def factor(self): return self.value * 10
    @classmethod
    def first(cls): return cls.FAST
    def __str__(self): return "mode " + self.name
class Organ(str, enum.Enum):
    LIVER = "liver"
class Flags(enum.IntFlag):
    A = 1
    B = 2
Number = typing.TypeVar("Number", int, float, covariant=False)
both = [Mode, Organ, Flags.A | Flags.B, Number, {Mode.SLOW: Number}]
"""


def test_enumerations_and_type_variables_of_main_are_unpickled_whole():
    namespace = {"__name__": "__main__"}
    exec(ENUMS, namespace)
    mode, organ, flags, number, shared = pickler.dill.loads(_dumps(namespace["both"]))
    assert mode is not namespace["Mode"]
    assert list(mode.__members__) == ["FAST", "SLOW", "SLOWEST"]
    assert mode.SLOWEST is mode.SLOW
    assert (mode.SLOW.factor, mode.first(), str(mode.FAST)) == (20, mode.FAST, "mode FAST")
    assert organ("liver") == "liver"
    assert (flags, type(flags).__name__, flags.value) == (type(flags)(3), "Flags", 3)
    assert (number.__name__, number.__constraints__) == ("Number", (int, float))
    assert shared == {mode.SLOW: number}


# --- what cannot travel -------------------------------------------------------------------


def _main(text: str, name: str):
    namespace = {"__name__": "__main__", "sys": sys}
    exec(text, namespace)
    return namespace[name]


PLANET = """
import enum
class Planet(enum.Enum):
    EARTH = (1, 2)
    def __init__(self, mass, radius): self.mass = mass
def f(): return Planet.EARTH
"""
MIXED = """
import enum
class Loud: ...
class Mixed(Loud, str, enum.Enum):
    A = "a"
def f(): return Mixed.A
"""
WHOLE = "main = sys.modules['__main__']\ndef f(): return main"


@pytest.mark.parametrize(
    ("transform", "reason"),
    [
        ((i for i in ()).__next__, "cannot pickle 'generator' object"),
        (_main(WHOLE, "f"), "refers to the module __main__ as a whole"),
        (_main(PLANET, "f"), "enumeration Planet has __init__ of its own"),
        (_main(MIXED, "f"), "enumeration Mixed has several base classes"),
    ],
)
def test_the_part_and_the_reason_are_named(linear, tmp_path, monkeypatch, transform, reason):
    namespace = getattr(transform, "__globals__", {})
    if "main" in namespace:  # under pytest __main__ is pytest's
        monkeypatch.setitem(sys.modules, "__main__", namespace["main"])
    for arguments, part in [((transform, None), "pre"), ((None, transform), "post")]:
        with pytest.raises(NotSerializable, match=f"{part}_processing cannot be ser") as caught:
            EisenServingMAR(*arguments, {}).pack(linear, tmp_path)
        assert reason in str(caught.value)
        assert caught.value.part == f"{part}_processing"
    assert not list(tmp_path.iterdir())


def test_a_model_that_cannot_be_pickled_is_named(packer, tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(1, 1))
    model.stream = (i for i in ())
    with pytest.raises(NotSerializable, match=r"model cannot be serialized: .*generator") as caught:
        packer.pack(model, tmp_path)
    assert caught.value.part == "model"
    assert isinstance(caught.value.__cause__, TypeError)
    assert not list(tmp_path.iterdir())


def test_what_dill_would_leave_in_main_is_refused(monkeypatch):
    class Named:
        def __reduce__(self):
            return "thing"

    main = type(sys)("__main__")
    main.thing = thing = Named()
    Named.__module__ = "__main__"
    monkeypatch.setitem(sys.modules, "__main__", main)
    with pytest.raises(pickler.PicklingFailed, match=r"thing of __main__ .* goes by name only"):
        _dumps(thing)


def test_a_deep_structure_is_an_error_and_not_a_crash(linear, tmp_path):
    deep = []
    for _ in range(100_000):
        deep = [deep]
    transform = _main("def f(b): return b", "f")
    transform.deep = deep
    with pytest.raises(NotSerializable, match=r"pre_processing.*RecursionError"):
        EisenServingMAR(transform, None, {}).pack(linear, tmp_path)
    while deep:  # an interpreter takes it apart recursively otherwise
        deep = deep[0]


def test_arrays_in_transforms_are_unpickled_as_they_were(tmp_path):
    from functools import partial

    weights = np.arange(6.0).reshape(2, 3)[:, ::2]
    scale = partial(np.multiply, weights)
    pickle_files.write_pickle(scale, tmp_path / "t.pkl", "pre_processing", Graph())
    with (tmp_path / "t.pkl").open("rb") as file:
        assert np.array_equal(pickler.dill.load(file)(2), weights * 2)
