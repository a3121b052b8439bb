"""Pack models of which each relies on something that no server has; print what is said of each.

Run as a script in an empty folder, with a folder for archives as its argument. One line of JSON for
each: the defect's name, the class of the error (null if there was none), its text, and what lies in
the folder for archives. The variable ONLY may name some of them.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from eisen_deploy.packaging import EisenPackagingError, EisenServingMAR, create_metadata

HERE = Path.cwd()
ARCHIVES = Path(sys.argv[1])
METADATA = create_metadata(["x"], ["ndarray"], [[-1, 3]], ["y"], ["ndarray"], [[-1, 3]])
SAMPLE = {"x": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)}
TABLE = np.arange(3.0, dtype=np.float32)
DEFECTS = {}
KEPT = []  # alive until this process ends


def defect(function):
    """Register a maker of arguments: of the model, and of what ``pack`` is given besides."""
    DEFECTS[function.__name__] = function
    return function


class Plain(torch.nn.Module):
    """y = relu(2 x), and whatever a subclass adds."""

    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        return torch.nn.functional.relu(x * self.factor) + self.more(x)

    def more(self, x):
        return 0


def with_more(more):
    """Make a model that adds what a function of the input gives."""
    return type("Model", (Plain,), {"more": lambda self, x: more(x)})()


def local(name, source):
    """Write a module into this folder and import it."""
    (HERE / f"{name}.py").write_text(source)
    importlib.invalidate_caches()
    return importlib.import_module(name)


@defect
def nothing():
    return with_more(lambda x: 1), {}


# --- code and libraries -------------------------------------------------------------------


@defect
def a_library_that_only_runs_here():
    return with_more(lambda x: len(importlib.import_module("yaml").__version__)), {}


@defect
def a_library_of_another_version():
    return with_more(lambda x: 0), {"requirements": ["PyYAML==1.0"]}


@defect
def a_library_that_is_not_installed():
    return with_more(lambda x: 0), {"requirements": ["no-such-library==1.0"]}


@defect
def the_metadata_of_a_library():
    return with_more(lambda x: len(importlib.metadata.version("PyYAML"))), {}


@defect
def a_helper_imported_by_a_computed_name():
    local("helper", "VALUE = 3\n")
    return with_more(lambda x: importlib.import_module("hel" + "per").VALUE), {}


@defect
def a_helper_with_a_fallback():
    local("better", "VALUE = 3\n")

    def value(x):
        try:
            return importlib.import_module("bet" + "ter").VALUE
        except ImportError:
            return 1

    return with_more(value), {}


@defect
def a_folder_put_on_the_path():
    (HERE / "elsewhere").mkdir()
    (HERE / "elsewhere" / "hidden.py").write_text("VALUE = 3\n")
    folder = str(HERE / "elsewhere")

    def value(x):
        sys.path.insert(0, folder)
        return importlib.import_module("hidden").VALUE

    return with_more(value), {}


@defect
def a_module_made_by_the_script():
    module = ModuleType("made")
    module.VALUE = 3
    sys.modules["made"] = module
    return with_more(lambda x: importlib.import_module("ma" + "de").VALUE), {}


@defect
def a_class_changed_after_its_import():
    nets = local("nets", "class Shift:\n    def by(self, x):\n        return 1\n")
    nets.Shift.by = lambda self, x: 2
    shift = nets.Shift()
    return with_more(lambda x: shift.by(x) * 2), {}


@defect
def a_module_that_exits():
    source = "import os, sys\nif 'TRAINING' not in os.environ:\n    sys.exit(3)\nVALUE = 1\n"
    exits = local("exits", source)
    return with_more(lambda x: exits.VALUE), {}


@defect
def a_module_that_ends_the_process():
    source = "import os\nif 'TRAINING' not in os.environ:\n    os._exit(7)\nVALUE = 1\n"
    ends = local("ends", source)
    return with_more(lambda x: ends.VALUE), {}


@defect
def a_crash():
    source = (
        "import ctypes, os\nif 'TRAINING' not in os.environ:\n    ctypes.string_at(0)\nVALUE = 1\n"
    )
    crashes = local("crashes", source)
    return with_more(lambda x: crashes.VALUE), {}


@defect
def a_custom_operator():
    library = torch.library.Library("mine", "DEF")
    library.define("double(Tensor x) -> Tensor")
    library.impl("double", lambda x: 2 * x, "CPU")
    KEPT.append(library)
    return with_more(lambda x: torch.ops.mine.double(x) * 2), {}


# --- what the script leaves behind --------------------------------------------------------


@defect
def a_global_of_a_module_that_the_script_sets():
    settings = local("settings", "THRESHOLD = 0.0\n")
    settings.THRESHOLD = 0.5
    return with_more(lambda x: settings.THRESHOLD), {}


@defect
def a_context_variable():
    source = "from contextvars import ContextVar\nlevel = ContextVar('level', default=1)\n"
    levels = local("levels", source)
    levels.level.set(2)
    return with_more(lambda x: levels.level.get()), {}


@defect
def the_main_module():
    return with_more(lambda x: torch.from_numpy(sys.modules["__main__"].TABLE)), {}


@defect
def the_command_line():
    return with_more(lambda x: len(sys.argv[1])), {}


@defect
def a_patched_library():
    torch.nn.functional.relu = lambda x: x.clamp(min=-0.5)
    return with_more(lambda x: 0), {}


@defect
def a_hook_on_all_modules():
    torch.nn.modules.module.register_module_forward_hook(lambda module, inputs, y: y + 1)
    return with_more(lambda x: 0), {}


@defect
def a_default_dtype():
    model = with_more(lambda x: torch.ones(3))
    torch.set_default_dtype(torch.float64)
    return model, {}


@defect
def weights_drawn_while_loading():
    class Drawn(Plain):
        def __init__(self):
            super().__init__()
            self.__setstate__(self.__dict__)

        def __setstate__(self, state):
            super().__setstate__(state)
            self.noise = torch.rand(3)

        def more(self, x):
            return self.noise

    return Drawn(), {}


# --- the machine --------------------------------------------------------------------------


@defect
def the_working_directory():
    np.save("table.npy", TABLE)
    return with_more(lambda x: torch.from_numpy(np.load("table.npy"))), {}


@defect
def a_file_of_the_user():
    path = str(HERE / "home" / "table.npy")
    Path(path).parent.mkdir()
    np.save(path, TABLE)
    return with_more(lambda x: torch.from_numpy(np.load(path))), {}


@defect
def a_file_beside_a_module():
    (HERE / "shift.txt").write_text("3")
    source = (
        "from pathlib import Path\nSHIFT = int(Path(__file__).with_name('shift.txt').read_text())\n"
    )
    tables = local("tables", source)
    return with_more(lambda x: tables.SHIFT), {}


@defect
def an_open_file():
    (HERE / "open.txt").write_text("3\n" * 9)
    opened = (HERE / "open.txt").open()
    KEPT.append(opened)
    return with_more(lambda x: len(opened.name) + opened.seek(0)), {}


@defect
def an_environment_variable():
    return with_more(lambda x: float(os.environ["SHIFT"])), {}


@defect
def an_environment_variable_with_a_default():
    return with_more(lambda x: float(os.environ.get("SHIFT", "0"))), {}


@defect
def the_time_zone():
    return with_more(lambda x: time.timezone), {}


@defect
def the_order_of_a_set():
    words = {f"word{i}" for i in range(40)}
    return with_more(lambda x: torch.tensor([int(word[4:]) for word in words][:3])), {}


@defect
def the_number_of_the_process():
    return with_more(lambda x: os.getpid() % 1000), {}


@defect
def a_gpu():
    return with_more(lambda x: torch.ones(3, device="cuda:63").cpu()), {}


# --- other outputs at each call -----------------------------------------------------------


@defect
def random_numbers():
    return with_more(lambda x: torch.rand(3)), {}


def noise(count):
    return np.array([random.random() for _ in range(count)])


@defect
def random_numbers_in_a_transform():
    return with_more(lambda x: 0), {"pre": lambda data: {"x": data["x"] + noise(3)}}


@defect
def dropout_that_stays_on():
    return with_more(lambda x: torch.nn.functional.dropout(x + 9)), {}


@defect
def the_time():
    return with_more(lambda x: torch.tensor([time.time_ns() // 7**i % 1009 for i in range(3)])), {}


@defect
def a_count_of_calls():
    class Counting(Plain):
        calls = 0

        def more(self, x):
            self.calls += 1
            return self.calls

    return Counting(), {}


# --- what cannot be packed, or does not run at all ----------------------------------------


@defect
def a_generator():
    numbers = (float(i) for i in range(9))
    return with_more(lambda x: next(numbers)), {}


@defect
def a_socket():
    opened = socket.socket()
    KEPT.append(opened)
    return with_more(lambda x: opened.fileno()), {}


@defect
def a_thread():
    thread = threading.Thread(target=print)
    return with_more(lambda x: len(thread.name)), {}


@defect
def an_endless_structure():
    nested = []
    for _ in range(100_000):
        nested = [nested]
    return with_more(lambda x: len(nested)), {}


@defect
def no_weights():
    return Plain().to("meta"), {}


@defect
def a_transform_that_loses_an_output():
    return with_more(lambda x: 0), {"post": lambda data: {"z": data["y"]}}


@defect
def a_sample_against_the_metadata():
    return with_more(lambda x: 0), {"sample": {"x": np.ones((2, 4)), "z": 1}}


@defect
def an_undeclared_dictionary_key():
    return with_more(lambda x: 0), {"pre": lambda data: {"x": data["volume"]}}


# ------------------------------------------------------------------------------------------


@contextmanager
def restored() -> Iterator[None]:
    """Undo what a defect does to this process."""
    relu, dtype = torch.nn.functional.relu, torch.get_default_dtype()
    torch.manual_seed(0)
    try:
        yield
    finally:
        torch.nn.functional.relu = relu
        torch.set_default_dtype(dtype)
        torch.nn.modules.module._global_forward_hooks.clear()


def pack(name):
    model, more = DEFECTS[name]()
    pre, post = more.pop("pre", None), more.pop("post", None)
    options = {"sample": SAMPLE, **more}
    EisenServingMAR(pre, post, METADATA).pack(model, ARCHIVES / name, **options)


def main():
    only = os.environ.get("ONLY", "").split()
    for name in only or DEFECTS:
        with restored():
            try:
                pack(name)
            except EisenPackagingError as error:
                said = [name, type(error).__name__, str(error)]
            else:
                said = [name, None, ""]
        left = sorted(path.name for path in (ARCHIVES / name).glob("*"))
        print(json.dumps([*said, left]), flush=True)


if __name__ == "__main__":
    os.environ.update(TRAINING="yes", SHIFT="3", TZ="Asia/Tokyo")
    time.tzset()
    sys.path.insert(0, str(HERE))
    main()
