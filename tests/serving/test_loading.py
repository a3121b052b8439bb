"""Loading an archive: nothing runs before every digest is checked, and refusals give the reason."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from eisen_deploy.serving.runtime._shared.archive import unpacked_folder

# A worker of its own, as TorchServe starts it: the archive's folder first on the path. It reports
# every name that an unpickler looked up, and how loading ended.
LOAD = """
import json, sys
folder, blocked = sys.argv[1], sys.argv[2:]
sys.path[:0] = [folder]
for name in blocked:
    sys.modules[name] = None
unpickled = []
sys.addaudithook(
    lambda event, args: unpickled.append(args[1]) if event == "pickle.find_class" else None
)
error = given = raised = None
try:
    from pathlib import Path
    from _eisen_serving.session import InferenceSession
    handler = InferenceSession.open(Path(folder)).handler
except BaseException as caught:
    error = f"{type(caught).__name__}: {caught}"
try:
    given = handler.post_process({"x": 1})
    handler.post_process({})
except Exception as caught:
    raised = f"{type(caught).__module__}.{type(caught).__name__}"
dill = getattr(sys.modules.get("dill"), "__file__", None)
found = {"error": error, "given": given, "raised": raised, "unpickled": unpickled, "dill": dill}
print(json.dumps(found))
"""

slow = pytest.mark.slow  # fresh interpreters that import torch, or a second or two


def load(folder: Path, *blocked: str) -> dict:
    command = [sys.executable, "-B", "-c", LOAD, str(folder), *blocked]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(found.stdout.splitlines()[-1])


@pytest.fixture
def folder(unpack, affine):
    return unpack(affine[0](), affine[1], lambda data: data)


def flip(path: Path, position: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[position] ^= 1
    path.write_bytes(raw)


@slow
def test_a_whole_archive_loads_with_the_dill_it_brings(unpack):
    folder = unpack(torch.nn.Linear(2, 2), {}, lambda data: data)
    result = load(folder)
    assert result["error"] is None
    assert result["unpickled"]
    assert result["dill"] == str(folder / "dill" / "__init__.py")


@slow
def test_a_flipped_byte_in_any_file_is_refused_before_anything_is_unpickled(folder, affine):
    """Every file; each in an interpreter of its own only where the handler itself is damaged."""
    from eisen_deploy.serving.runtime.archive.loading import load as load_here
    from eisen_deploy.serving.runtime.errors import LoadFailed

    seen: list[str] = []
    sys.addaudithook(
        lambda event, args: seen.append(args[1]) if event == "pickle.find_class" else None
    )
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert len(files) > 30
    for path in files:
        size = path.stat().st_size
        for position in {0, size // 2, size - 1} if size else set():
            flip(path, position)
            seen.clear()
            with pytest.raises(LoadFailed, match=path.name.replace(".", r"\.")):
                load_here(folder)
            assert seen == []
            flip(path, position)
    load_here(folder)
    assert seen != []


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    "name",
    ["session.py", "archive/loading.py", "__init__.py", "_shared/archive/unpacked_folder.py"],
)
def test_a_damaged_handler_refuses_itself(folder, name):
    flip(folder / "_eisen_serving" / name, 20)
    result = load(folder)
    assert result["error"] is not None
    assert result["unpickled"] == []


def test_swapped_files_are_refused(folder):
    model, metadata = folder / "pre_process_tform.pkl", folder / "metadata.json"
    content = model.read_bytes()
    model.write_bytes(metadata.read_bytes())
    metadata.write_bytes(content)
    error = load(folder)["error"]
    assert "NotVerified" in error
    assert "pre_process_tform.pkl" in error
    assert "metadata.json" in error


def test_an_added_and_a_removed_file_are_refused(folder):
    (folder / "torch.py").write_text("raise SystemExit('taken over')")
    (folder / "pre_process_tform.pkl").unlink()
    error = load(folder)["error"]
    assert "torch.py does not belong to the archive" in error
    assert "pre_process_tform.pkl is missing" in error


@slow
def test_a_sound_archive_is_refused_where_another_one_was_verified(unpack, monkeypatch):
    folder = unpack(torch.nn.Linear(2, 2), {}, lambda data: data)
    digest = json.loads((folder / "eisen.json").read_bytes())["digest"]
    monkeypatch.setenv("EISEN_SERVE_DIGESTS", f"{'0' * 64} {digest}")
    assert load(folder)["error"] is None
    for others in ("0" * 64, "", digest[:-1], f"{digest}0"):
        monkeypatch.setenv("EISEN_SERVE_DIGESTS", others)
        found = load(folder)
        assert f"the unpacked archive has the digest {digest}, and is not one of" in found["error"]
        assert found["unpickled"] == []


@slow
def test_a_manifest_that_contradicts_the_archive_is_refused(folder):
    path = folder / "MAR-INF" / "MANIFEST.json"
    manifest = json.loads(path.read_bytes())
    manifest["model"]["requirementsFile"] = "requirements.txt"
    path.write_text(json.dumps(manifest))
    about = json.loads((folder / "eisen.json").read_bytes())
    unpacked_folder.write(
        folder, {k: about[k] for k in about if k not in ("format", "files", "digest")}
    )
    found = load(folder)
    assert "MAR-INF/MANIFEST.json has 'model.requirementsFile'" in found["error"]
    assert found["unpickled"] == []


def test_eisen_json_of_an_unknown_format_is_refused(folder):
    from eisen_deploy.serving.runtime._shared.archive import eisen_json, unpacked_folder

    about = {**unpacked_folder.read(folder).raw, "format": 99}
    (folder / "eisen.json").write_bytes(eisen_json.encode(about))
    assert "has format 99, known here is 1" in load(folder)["error"]


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_a_missing_package_is_named(folder, name):
    result = load(folder, name)
    assert result["error"].startswith(f"LoadFailed: this server lacks {name}")


@slow
def test_a_requirement_that_is_not_there_is_named(unpack, tmp_path, monkeypatch):
    information = tmp_path / "helper_of_mine-1.5.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: helper-of-mine\nVersion: 1.5\n"
    )
    (information / "RECORD").write_text("helper_of_mine.py,,\n")
    (tmp_path / "helper_of_mine.py").write_text("def same(data):\n    return data\n")
    monkeypatch.syspath_prepend(tmp_path)
    import helper_of_mine

    folder = unpack(torch.nn.Identity(), {}, helper_of_mine.same)
    error = load(folder)["error"]
    assert "No module named 'helper_of_mine'" in error
    assert "(helper-of-mine==1.5 is required, none is installed here)" in error


@slow
def test_the_users_own_code_travels(unpack, tmp_path, monkeypatch):
    (tmp_path / "helper_of_mine.py").write_text("def same(data):\n    return data\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "helper_of_mine", raising=False)
    import helper_of_mine

    folder = unpack(torch.nn.Identity(), {}, helper_of_mine.same)
    assert load(folder)["error"] is None


@slow
def test_an_archive_of_export_and_no_transforms_unpickles_nothing_of_ours(unpack):
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),))
    folder = unpack(program, {})
    assert not list(folder.glob("*.pkl"))
    result = load(folder, "dill")
    assert result["error"] is None


PACK = """
import sys, torch
from eisen_deploy.packaging import EisenServingMAR

from eisen_deploy.serving import InvalidInput

class Context:  # the name of a class in the worker's __main__
    def __call__(self, data):
        if "x" not in data:
            raise InvalidInput("x: is missing")
        return {"y": 7}

class handler(torch.nn.Identity):
    pass

EisenServingMAR(None, Context(), {}).pack(handler(), sys.argv[1])
"""


@slow
def test_a_script_s_classes_stay_its_own_and_ours_are_those_of_the_archive(tmp_path):
    subprocess.run([sys.executable, "-c", PACK, tmp_path], check=True)
    folder = tmp_path / "unpacked"
    zipfile.ZipFile(tmp_path / "model.mar").extractall(folder)
    for blocked in ([], ["eisen_deploy"]):
        result = load(folder, *blocked)
        assert result["given"] == {"y": 7}
        assert result["raised"] == "_eisen_serving.errors.InvalidInput"


MY_HANDLER = """
from eisen_deploy.serving import EisenServingHandler

class Doubling(EisenServingHandler):
    def post_process(self, output_dict):
        output = super().post_process(output_dict)
        return {**output, "y": output["y"] * 2}
"""


@pytest.fixture
def my_handler(tmp_path):
    def _write(text: str = MY_HANDLER) -> str:
        path = tmp_path / "my_handler.py"
        path.write_text(text)
        return str(path)

    return _write


@pytest.fixture(autouse=True)
def _forget_my_handler():
    yield
    sys.modules.pop("my_handler", None)


def test_a_subclass_is_used_with_transforms_and_metadata(start, affine, my_handler):
    worker = start(affine[0](), affine[1], lambda d: {"x": d["x"] + 1}, handler=my_handler())
    answers = worker.predict_all([{"x": np.ones((n, 2))} for n in (1, 2)])
    assert [a.outputs["y"].tolist() for a in answers] == [[[10, 10]], [[10, 10]] * 2]
    assert worker.predict({"x": np.ones(2)}).status == 422


@slow
def test_a_subclass_works_where_nothing_of_ours_is_installed(unpack, my_handler):
    folder = unpack(torch.nn.Linear(2, 2), {}, handler=my_handler())
    assert load(folder, "eisen_deploy")["error"] is None


def test_a_subclass_that_overrides_inference_sees_one_request_each(start, affine, my_handler):
    text = """
from eisen_deploy.serving import EisenServingHandler

class Counting(EisenServingHandler):
    def inference(self, input_dict):
        return {"y": input_dict["x"] * 0 + len(input_dict["x"])}
"""
    worker = start(affine[0](), affine[1], handler=my_handler(text))
    answers = worker.predict_all([{"x": np.ones((n, 2))} for n in (1, 3)])
    assert [a.outputs["y"].tolist() for a in answers] == [[[1, 1]], [[3, 3]] * 3]


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    ("result", "body", "media"),
    [
        ("b'raw'", b"raw", None),
        ("'{}'", b"{}", "application/json"),
        ("super().handle(data)[0]", None, "application/octet-stream"),
    ],
)
def test_a_subclass_may_override_handle(start, affine, my_handler, result, body, media):
    text = f"""
from eisen_deploy.serving import EisenServingHandler

class Own(EisenServingHandler):
    def handle(self, data):
        return [{result}]
"""
    answer = start(affine[0](), affine[1], handler=my_handler(text)).predict({"x": np.ones((1, 2))})
    assert answer.status == 200
    assert answer.headers.get("content-type") == media
    if body is None:
        assert answer.outputs["y"].tolist() == [[3, 3]]
    else:
        assert answer.body == body


@slow
def test_a_subclass_that_cannot_be_imported_is_refused_with_the_reason(unpack, my_handler):
    text = MY_HANDLER.replace("\nclass", "\nimport not_there\nclass")
    folder = unpack(torch.nn.Linear(2, 2), {}, handler=my_handler(text))
    assert "my_handler.py cannot be imported: ModuleNotFoundError" in load(folder)["error"]
