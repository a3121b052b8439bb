"""The proof in a clean process: what it sees, how it can end, and what is reported.

Most archives here are made by hand, with an entry that does one thing: they need no torch.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import textwrap
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from eisen_deploy.packaging import EisenServingMAR, _proof, create_metadata
from eisen_deploy.packaging._errors import EisenPackagingError, ProofFailed
from eisen_deploy.packaging._proof import clean_process
from eisen_deploy.packaging._shared.archive import unpacked_folder
from eisen_deploy.packaging._shared.archive.batches import Batches

METADATA = create_metadata(["x"], ["ndarray"], [[-1, 3]], ["y"], ["ndarray"], [[-1, 2]])
SAMPLE = {"x": np.ones((1, 3), np.float32)}

ENTRY = """
from types import SimpleNamespace


class InferenceSession:
    handler = SimpleNamespace(archive=SimpleNamespace(sample=None))

    @classmethod
    def open(cls, folder, **settings):
        cls.run(folder)
        return cls

    @staticmethod
    def run(folder):
"""


@pytest.fixture
def archive(tmp_path):
    """Make an unpacked archive whose entry runs some code: ``archive(code, **about) -> folder``."""

    def _archive(code, **about):
        folder = tmp_path / "files"
        (folder / "_eisen_serving").mkdir(parents=True)
        (folder / "_eisen_serving" / "__init__.py").write_text("")
        text = ENTRY + textwrap.indent(textwrap.dedent(code), "        ")
        (folder / "_eisen_serving" / "session.py").write_text(text)
        (folder / "model.pt").write_bytes(b"")
        said = {
            "model": {"name": "m", "version": "1", "form": "eager", "file": "model.pt"},
            "transforms": {"pre_processing": None, "post_processing": None},
            "handler": None,
            "packed_with": {},
            "modules": {},
            "requirements": [],
            "sample": None,
            "serving": None,
            "batches": asdict(Batches()),
        }
        unpacked_folder.write(folder, {**said, **about})
        return folder

    return _archive


@pytest.fixture
def told(archive, tmp_path):
    """Run code in the clean process and return the text of the error that it raises at its end."""

    def _told(code, **options):
        about = options.pop("about", {})
        with pytest.raises(ProofFailed) as caught:
            _proof.prove(archive(code, **about), inside=tmp_path, **options)
        return str(caught.value)

    return _told


@pytest.fixture
def seen(archive, tmp_path):
    """Evaluate an expression in the clean process, and return its value."""

    def _seen(expression, **options):
        about = options.pop("about", {})
        imports = "import json, os, sys, tempfile, importlib, importlib.metadata"
        code = f"{imports}\nraise ValueError(json.dumps({expression}))"
        with pytest.raises(ProofFailed) as caught:
            _proof.prove(archive(code, **about), inside=tmp_path, **options)
        line = str(caught.value).splitlines()[0]
        return json.loads(line.removeprefix("the archive fails in a clean process: ValueError: "))

    return _seen


# --- what it sees -------------------------------------------------------------------------


def test_it_is_a_fresh_interpreter_without_installed_packages(seen):
    flags = "[sys.flags.isolated, sys.flags.no_site, 'site' in sys.modules]"
    assert seen(flags) == [1, 1, False]


def test_the_path_is_the_archive_and_python(seen):
    first, *rest = seen("sys.path")
    assert first == "<archive>"
    assert not any("site-packages" in entry or entry == str(Path.cwd()) for entry in rest)


def test_folders_are_private_and_empty(seen, tmp_path):
    what = (
        "[os.getcwd(), os.listdir(), os.path.expanduser('~'), __import__('tempfile').gettempdir()]"
    )
    work, listed, home, temporary = seen(what)
    assert listed == []
    assert home == temporary
    assert [Path(path).parents[1] for path in (work, home)] == [tmp_path, tmp_path]
    assert [path.name for path in tmp_path.iterdir()] == ["files"]  # all is removed again


def test_variables_are_those_that_a_server_has(seen, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "x")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    names = seen("sorted(os.environ)")
    assert {"PATH", "HOME", "OMP_NUM_THREADS"} <= set(names)
    assert not {"SECRET_TOKEN", "PYTHONPATH"} & set(names)


def importable(*names):
    return f"[importlib.util.find_spec(name) is not None for name in {names}]"


def test_modules_are_those_of_requirements_and_all_that_these_need(seen):
    about = {"requirements": ["requests"]}
    names = ("torch", "numpy", "sympy", "requests", "urllib3", "certifi")
    assert seen(importable(*names), about=about) == [True] * len(names)


def test_other_modules_are_not_there(seen):
    names = ("requests", "yaml", "pytest", "eisen_deploy", "pip", "hatchling")
    assert seen(importable(*names)) == [False] * len(names)


def test_metadata_is_that_of_the_same_distributions(seen):
    about = {"requirements": ["requests"]}
    names = "sorted(d.metadata['Name'].lower() for d in importlib.metadata.distributions())"
    names = seen(names, about=about)
    assert {"torch", "numpy", "requests"} <= set(names)
    assert not {"pytest", "pyyaml", "eisen-deploy-packaging"} & set(names)


def test_files_that_are_hidden_are_named(told, tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("mine")
    text = told(f"open({str(path)!r}).read()")
    assert f"No such file or directory: '{path}'" in text
    assert f"it opens {path}, which is on this machine and not in the archive" in text


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize(
    "code",
    [
        "open(path)",
        "os.open(path, os.O_RDONLY)",
        "open(os.fsencode(path))",
        "open(link)",
        "os.listdir(os.path.dirname(path))",
        "list(os.scandir(os.path.dirname(path)))",
        "__import__('ctypes').CDLL(path)",
        "open(path, 'w')",
        "open(path + '.new', 'w')",
        "__import__('pathlib').Path(path).read_text()",
    ],
)
def test_no_way_of_python_leads_to_them(told, tmp_path, code):
    folder = tmp_path / "private"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    (folder / "link").symlink_to(folder / "mine.txt")
    names = f"path, link = {str(folder / 'mine.txt')!r}, {str(folder / 'link')!r}"
    assert "No such file or directory" in told(f"import os\n{names}\n{code}")
    assert (folder / "mine.txt").read_text() == "mine"


def test_its_own_files_are_open_to_it(archive, tmp_path):
    code = """
        import os, tempfile, sysconfig
        with tempfile.NamedTemporaryFile() as file:
            open(file.name).close()
        open("here.txt", "w").close()
        assert os.listdir() == ["here.txt"]
        open(os.path.join(folder, "eisen.json")).close()
        open(os.__file__).close()
        open(os.devnull).close()
    """
    assert not _proof.prove(archive(code), inside=tmp_path).predicted


# --- how it ends --------------------------------------------------------------------------


def test_the_proof_reports_what_it_has_proved(archive, tmp_path):
    proof = _proof.prove(archive("import numpy, sympy"), inside=tmp_path)
    assert not proof.predicted
    assert 0 < proof.seconds < 60
    assert {"numpy", "sympy", "mpmath"} <= set(proof.used)
    assert "torch" not in proof.used
    assert proof.used["numpy"] == np.__version__


@pytest.mark.slow
def test_a_file_and_its_folder_are_proved_alike(tmp_path, linear, packer):
    path = packer.pack(linear, tmp_path)
    before = path.read_bytes()
    assert _proof.prove(path, inside=tmp_path).predicted is False
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["model.mar"]


def test_a_file_that_is_no_archive(tmp_path):
    (tmp_path / "no.mar").write_bytes(b"PK")
    with pytest.raises(ProofFailed, match="not a zip file"):
        _proof.prove(tmp_path / "no.mar")


@pytest.mark.slow  # a second or two
def test_a_process_that_does_not_end(told):
    text = told("print('started', flush=True)\nwhile True: pass", timeout=1)
    assert text == "the clean process did not end in 1 s: its last lines are\nstarted"


def test_a_process_that_is_killed(told):
    text = told("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)")
    assert text == "the clean process was killed by SIGTERM, before it was done"


def test_a_crash_is_reported_with_its_place(told):
    text = told("import ctypes\nctypes.string_at(0)")
    assert text.startswith("the clean process was killed by SIGSEGV, before it was done")
    assert "Fatal Python error: Segmentation fault" in text
    assert re.search(r'"<archive>/_eisen_serving/session\.py", line \d+ in run', text)


def test_code_that_ends_the_process(told):
    text = told("import os\nos._exit(7)")
    assert text.startswith("code of the archive ended the clean process with status 7")
    assert "os._exit was called" in text


def test_code_that_exits_is_an_error_like_another(told):
    assert "a clean process: SystemExit: enough\n" in told("raise SystemExit('enough')")


def test_a_thread_that_never_ends_does_not_keep_it(archive, tmp_path):
    code = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()"
    assert _proof.prove(archive(code), inside=tmp_path, timeout=60).seconds < 30


def test_processes_that_it_started_end_with_it(archive, tmp_path):
    code = """
        import subprocess, sys
        print(subprocess.Popen(["sleep", "600"]).pid, file=open("pid", "w"), flush=True)
        raise ValueError(open("pid").read())
    """
    with pytest.raises(ProofFailed) as caught:
        _proof.prove(archive(code), inside=tmp_path, timeout=60)
    pid = int(str(caught.value).splitlines()[0].rpartition(": ")[2])
    deadline = time.monotonic() + 10
    while _is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_running(pid)


def _is_running(pid):
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return bool(state) and not state.startswith("Z")


def test_output_without_end_is_stopped(told, monkeypatch):
    monkeypatch.setattr(_proof.clean_room, "_OUTPUT_LIMIT", 2**20)
    text = told("while True: print('again and again')", timeout=60)
    assert text.startswith("the clean process printed more than 1 MiB: its last lines are\n")
    assert text.endswith("again and again")
    assert len(text) < 1000


def test_output_is_kept_apart_from_the_outcome(archive, tmp_path, capfd):
    code = "import sys\nprint('{}' * 9999)\nprint('x', file=sys.stderr)\nsys.stdin.read()"
    assert not _proof.prove(archive(code), inside=tmp_path).predicted
    assert capfd.readouterr() == ("", "")


# --- requirements -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requirement", "problem"),
    [
        ("numpy==1.0", "requirements: numpy==1.0 is recorded and numpy .* is installed here"),
        ("no-such-library", "requirements: no-such-library is not installed here"),
        ("== 3", r"requirements\[0\]: expected a requirement such as .* got '== 3'"),
        ("numpy; nonsense", "requirements: 'numpy; nonsense' is not a requirement"),
    ],
)
def test_requirements_have_to_be_those_that_are_installed(told, requirement, problem):
    assert re.search(problem, told("pass", about={"requirements": [requirement, "torch"]}))


def test_every_unmet_requirement_is_reported(archive):
    folder = archive("pass", requirements=["numpy==1.0", "no-such-library"])
    with pytest.raises(ProofFailed) as caught:
        _proof.prove(folder)
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    "requirement",
    [f"numpy=={np.__version__}", "numpy>=1", "NumPy", "no-such==1; python_version < '3'"],
)
def test_requirements_that_are_met(archive, tmp_path, requirement):
    _proof.prove(archive("pass", requirements=[requirement]), inside=tmp_path)


# --- what is said -------------------------------------------------------------------------


def test_a_module_that_is_installed_names_its_requirement(told):
    text = told("import yaml")
    assert "it imports yaml, which is installed here (pyyaml " in text
    assert "pass requirements=['pyyaml==" in text


def test_a_module_of_this_machine_is_to_be_passed(told, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    text = told("import only_here")
    assert "it imports only_here, a file of this machine" in text
    assert "pass it in code_paths=" in text


def test_a_module_that_is_nowhere(told):
    assert "it imports nowhere, which is not installed here either" in told("import nowhere")


def test_metadata_that_is_not_there_names_its_requirement(told):
    text = told("import importlib.metadata\nimportlib.metadata.version('PyYAML')")
    assert "it reads the version of PyYAML, which is not among" in text


def test_a_variable_of_this_process(told, monkeypatch):
    monkeypatch.setenv("SHIFT", "3")
    assert "SHIFT is an environment variable here" in told("import os\nos.environ['SHIFT']")


def test_an_error_is_reported_with_the_cause_of_its_cause(told):
    code = """
        try:
            import yaml
        except ImportError as error:
            raise RuntimeError("no configuration") from error
    """
    text = told(code)
    assert "no configuration" in text
    assert "pass requirements=['pyyaml==" in text


def test_errors_of_a_proof_are_errors_of_packaging():
    assert issubclass(ProofFailed, EisenPackagingError)


# --- the finder ---------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path):
    for name in ("regular/__init__.py", "regular/inner.py", "single.py", "space/mine/__init__.py"):
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (tmp_path / "site" / "space" / "other.py").write_text("")
    return str(tmp_path / "site")


def test_the_finder_finds_roots_and_the_way_to_them(site):
    finder = clean_process.Finder({"regular": site, "single": site, "space.mine": site}, [], [])
    assert finder.find_spec("regular", None).origin == f"{site}/regular/__init__.py"
    assert finder.find_spec("single", None).origin == f"{site}/single.py"
    assert finder.find_spec("space", None).submodule_search_locations == []
    assert finder.find_spec("space.mine", []).origin == f"{site}/space/mine/__init__.py"
    assert finder.missing == {}


def test_the_finder_notes_who_looks_for_what_else(site):
    finder = clean_process.Finder({"space.mine": site}, [], [])
    assert finder.find_spec("space.other", []) is None
    assert finder.find_spec("regular", None) is None
    assert finder.missing == dict.fromkeys(("space.other", "regular"), __name__)


# --- all of it ----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_sample_is_predicted_and_no_archive_appears_if_it_differs(tmp_path, linear, monkeypatch):
    packer = EisenServingMAR(None, None, METADATA)
    path = packer.pack(linear, tmp_path, sample=SAMPLE)
    assert _proof.prove(path).predicted

    linear.register_forward_hook(lambda module, inputs, output: output + len(os.environ))
    monkeypatch.setenv("ONE_MORE", "x")
    with pytest.raises(ProofFailed) as caught:
        packer.pack(linear, tmp_path, "other", sample=SAMPLE)
    ((name, *_),) = caught.value.differences
    assert name == "y"
    assert "name  expected" in str(caught.value)
    assert [each.name for each in tmp_path.iterdir()] == ["model.mar"]


@pytest.mark.slow
def test_the_self_test_runs_there_whatever_the_options_say(tmp_path, linear):
    packer = EisenServingMAR(None, None, METADATA)
    options = {"sample": SAMPLE, "serving": {"self_test": False}}
    assert _proof.prove(packer.pack(linear, tmp_path, **options)).predicted
    linear.register_forward_hook(lambda module, inputs, output: output + os.getpid())
    with pytest.raises(ProofFailed, match="the sample gets other outputs"):
        packer.pack(linear, tmp_path, "other", **options)


@pytest.mark.slow
def test_each_form_is_proved(tmp_path, form):
    _, _, model = form
    path = EisenServingMAR(None, None, METADATA).pack(model, tmp_path, sample=SAMPLE)
    assert _proof.prove(path).predicted
