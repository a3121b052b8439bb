"""Models that rely on something that no server has: none is packed, and the cause is named.

The defects themselves are in ``scripts/defects.py``, which packs one after the other in a process
of its own. ``docs/sample.rst`` lists what is said of them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parent / "scripts" / "defects.py"

OTHERS = r"gets other outputs here than where it was packed: y; likely because "
AGAIN = r"gives other outputs when it runs a second time in this process: y; likely causes are "
EACH = OTHERS + "it depends on what is different in each process"
REFUSED = "cannot be serialized: "

SAID = {
    # code and libraries
    "a_library_that_only_runs_here": r"it imports yaml, .* pass requirements=\['pyyaml==",
    "a_library_of_another_version": r"PyYAML==1\.0 is recorded and PyYAML \S+ is installed here",
    "a_library_that_is_not_installed": r"no-such-library==1\.0 is not installed here",
    "the_metadata_of_a_library": r"it reads the version of PyYAML, .* requirements=\['PyYAML==",
    "a_helper_imported_by_a_computed_name": r"it imports helper, a file .* pass it in code_paths=",
    "a_helper_with_a_fallback": OTHERS + r"it imports better, a file .* pass it in code_paths=",
    "a_folder_put_on_the_path": r"it imports hidden, a file of this machine that was not captured",
    "a_module_made_by_the_script": r"it imports made, which was made by the running program",
    "a_class_changed_after_its_import": OTHERS + r"nets\.Shift\.by is not what it is after",
    "a_module_that_exits": r"SystemExit: 3\n  <archive>/captured_code/exits\.py:3",
    "a_module_that_ends_the_process": r"with status 7(.|\n)*<archive>/captured_code/ends\.py:3",
    "a_crash": r"killed by SIGSEGV(.|\n)*<archive>/captured_code/crashes\.py",
    "a_custom_operator": r"AttributeError: '_OpNamespace' 'mine' object has no attribute 'double'",
    # what the script leaves behind
    "a_global_of_a_module_that_the_script_sets": OTHERS + r"settings\.THRESHOLD is not what it is",
    "a_context_variable": OTHERS + "it relies on something of the process or the machine",
    "the_main_module": r"AttributeError: module '__main__' has no attribute 'TABLE'",
    "the_command_line": r"IndexError: list index out of range \(.*\)\n  defects\.py:\d+ forward",
    "a_patched_library": OTHERS + r"torch\.nn\.functional\.relu is a function of __main__ here",
    "a_hook_on_all_modules": OTHERS + "hooks on all modules are registered here",
    "a_default_dtype": OTHERS + r"torch\.set_default_dtype was called(.|\n)*another dtype",
    "weights_drawn_while_loading": EACH,
    # the machine
    "the_working_directory": r"it opens table\.npy, which is on this machine and not in the arch",
    "a_file_of_the_user": r"it opens \S+home/table\.npy, which is on this machine",
    "a_file_beside_a_module": r"it opens <archive>/captured_code/shift\.txt, .* code_paths=",
    "an_open_file": REFUSED
    + r"PicklingError: an open file \(\S+/open\.txt\) stays on this machine",
    "an_environment_variable": r"SHIFT is an environment variable here, and no server has it",
    "an_environment_variable_with_a_default": OTHERS + "SHIFT is an environment variable here",
    "the_time_zone": OTHERS + "it relies on something of .* the time zone",
    "the_order_of_a_set": EACH,
    "the_number_of_the_process": EACH,
    "a_gpu": r"fails in this process: inference raised \w+: ",
    # other outputs at each call
    "random_numbers": AGAIN,
    "random_numbers_in_a_transform": AGAIN,
    "dropout_that_stays_on": AGAIN,
    "the_time": AGAIN,
    "a_count_of_calls": AGAIN,
    # what cannot be packed, or does not run at all
    "a_generator": REFUSED + "TypeError: cannot pickle 'generator' object",
    "a_socket": REFUSED + "TypeError: cannot pickle 'socket' object",
    "a_thread": REFUSED,
    "an_endless_structure": REFUSED + "RecursionError: maximum recursion depth",
    "no_weights": "on the device meta, without values: load the weights",
    "a_transform_that_loses_an_output": "the model and post_processing gave no y",
    "a_sample_against_the_metadata": r"x: expected shape \[-1, 3\].*; sample: z: is not an input",
    "an_undeclared_dictionary_key": "pre_process raised KeyError: 'volume'",
}


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What was said of each defect, by its name: class of the error, text, files left behind."""
    archives, work = tmp_path_factory.mktemp("archives"), tmp_path_factory.mktemp("work")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(archives)],
        cwd=work,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return {name: rest for name, *rest in map(json.loads, done.stdout.splitlines())}


def test_every_defect_has_a_row(said):
    assert list(said) == ["nothing", *SAID]


def test_a_model_without_a_defect_is_packed(said):
    assert said["nothing"] == [None, "", ["model.mar"]]


@pytest.mark.parametrize("name", SAID)
def test_it_is_refused_with_its_cause_and_leaves_nothing(said, name):
    kind, text, left = said[name]
    assert kind in ("ProofFailed", "NotSerializable", "InvalidSample", "UnsupportedModel")
    assert re.search(SAID[name], text), text
    assert left == []
