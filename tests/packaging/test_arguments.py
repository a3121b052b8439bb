"""What is checked before any work starts, and that nothing has been written by then."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from eisen_deploy.packaging import (
    ArchiveExists,
    EisenPackagingError,
    EisenServingMAR,
    InvalidArgument,
    UnsupportedModel,
)


def test_the_documented_call_has_default_name_and_version(linear, tmp_path):
    path = EisenServingMAR(None, None, {"inputs": [], "outputs": []}).pack(linear, str(tmp_path))
    assert path == tmp_path / "model.mar"
    assert path.is_file()


def test_all_documented_arguments_by_position(linear, tmp_path):
    packer = EisenServingMAR(dict, dict, {"a": 1}, None)
    path = packer.pack(linear, tmp_path, "seg-3d_v2.x", "2.0.1-rc", [__file__])
    assert path == tmp_path / "seg-3d_v2.x.mar"


@pytest.mark.parametrize(
    "name",
    ["", "a/b", "..", ".hidden", "-x", "a b", "modèle", "a\n", "x" * 128, "a:b", None, 3, b"a"],
)
def test_names_that_are_no_part_of_an_address_are_refused(packer, linear, tmp_path, name):
    with pytest.raises(InvalidArgument, match=r"model_name: expected .* got") as caught:
        packer.pack(linear, tmp_path / "new", name)
    assert repr(name) in str(caught.value)
    with pytest.raises(InvalidArgument, match="model_version: expected"):
        packer.pack(linear, tmp_path / "new", "model", name)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["con", "NUL", "com1.x", "Lpt9"])
def test_names_of_windows_devices_are_refused(packer, linear, tmp_path, name):
    with pytest.raises(InvalidArgument, match="device on Windows"):
        packer.pack(linear, tmp_path, name)


def test_all_problems_of_names_and_destination_are_reported_at_once(packer, linear):
    with pytest.raises(InvalidArgument) as caught:
        packer.pack(linear, None, "a/b", 1.0)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "model_name",
        "model_version",
        "dst_path",
    ]


def test_a_destination_that_is_a_file_is_refused(packer, linear, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidArgument, match="is not a folder"):
        packer.pack(linear, tmp_path / "file")


def test_a_missing_destination_is_made_with_its_parents(packer, linear, tmp_path):
    assert packer.pack(linear, tmp_path / "a" / "b").is_file()


class Trainer:
    model = torch.nn.Identity()


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (None, "got NoneType"),
        (3, "got int"),
        ({"w": 1}, "got dict"),
        ("model.pt", "got str: it is a path, load the file"),
        (Path("model.pt"), "Path: it is a path, load the file"),
        (torch.nn.Linear, "got Linear: it is a class, pass an instance"),
        (torch.sin, "pass a torch.nn.Module whose forward calls it"),
        (torch.nn.Linear(1, 1).state_dict(), "got OrderedDict: it is a state dict, make the"),
        ({"epoch": 1, "state_dict": {"w": torch.ones(1)}}, "got dict: it is a checkpoint, make"),
        ({"net": torch.nn.Identity()}, "got dict: pass the module in it, under 'net'"),
        ([torch.nn.Identity()], "got list: pack each by itself, or pass a torch.nn.Module whose"),
        (Trainer(), "got Trainer: pass its attribute model"),
    ],
)
def test_what_is_not_a_model_is_refused_with_its_type_and_a_remedy(packer, tmp_path, model, told):
    with pytest.raises(UnsupportedModel) as caught:
        packer.pack(model, tmp_path / "new")
    assert told in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_transforms_must_be_callable():
    with pytest.raises(InvalidArgument) as caught:
        EisenServingMAR({}, "transform", {})
    assert caught.value.problems == (
        "pre_processing: expected a callable or None, got dict",
        "post_processing: expected a callable or None, got str",
    )


@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_an_existing_target_is_refused(packer, linear, tmp_path, kind):
    target = tmp_path / "model.mar"
    if kind == "file":
        target.write_bytes(b"precious")
    elif kind == "folder":
        target.mkdir()
    else:
        target.symlink_to(tmp_path / "nowhere")
    error = InvalidArgument if kind == "folder" else ArchiveExists
    with pytest.raises(error, match=r"model\.mar"):
        packer.pack(linear, tmp_path)
    assert list(tmp_path.iterdir()) == [target]
    assert kind != "file" or target.read_bytes() == b"precious"


def test_overwrite_replaces_a_file_and_a_link_but_no_folder(packer, linear, tmp_path):
    kept = tmp_path / "kept"
    kept.write_bytes(b"precious")
    target = tmp_path / "model.mar"
    target.symlink_to(kept)
    assert packer.pack(linear, tmp_path, overwrite=True).read_bytes()[:2] == b"PK"
    assert not target.is_symlink()
    assert kept.read_bytes() == b"precious"
    target.unlink()
    target.mkdir()
    with pytest.raises(InvalidArgument, match="is a folder"):
        packer.pack(linear, tmp_path, overwrite=True)


def test_an_existing_target_is_refused_before_any_work(linear, tmp_path):
    (tmp_path / "model.mar").touch()
    unpicklable = (item for item in ()).__next__
    with pytest.raises(ArchiveExists, match="pass overwrite=True, or --overwrite"):
        EisenServingMAR(unpicklable, None, {}).pack(linear, tmp_path)


def test_overwrite_is_keyword_only(packer, linear, tmp_path):
    with pytest.raises(TypeError):
        packer.pack(linear, tmp_path, "model", "1.0", None, True)


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ({"model_version": 1.0}, "got 1.0: pass it as text, '1.0'"),
        ({"model_version": 2}, "got 2: pass it as text, '2'"),
        ({"model_name": "seg.mar"}, "model_name: .mar is added to it: pass 'seg'"),
        ({"dst_path": "zoo/seg.mar"}, "expected a folder, got 'zoo/seg.mar': pass 'zoo', and"),
    ],
)
def test_a_common_mistake_gets_advice(packer, linear, tmp_path, monkeypatch, arguments, advice):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgument) as caught:
        packer.pack(linear, **{"dst_path": tmp_path, **arguments})
    assert advice in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_progress_is_reported_a_hundredth_at_a_time(packer, linear, tmp_path):
    reports = []
    packer.pack(linear, tmp_path, progress=lambda *report: reports.append(report))
    written = [(done, total) for step, done, total in reports if step == "write"]
    assert written[0][0] == 0
    assert written[-1][0] == written[-1][1]
    steps = [later - earlier for (earlier, _), (later, _) in zip(written, written[1:])]
    assert all(100 * step >= written[-1][1] for step in steps[:-1])


def test_every_public_error_has_the_one_base():
    import eisen_deploy.packaging as public

    errors = [getattr(public, name) for name in public.__all__]
    errors = [item for item in errors if isinstance(item, type) and issubclass(item, Exception)]
    assert len(errors) == 15
    assert all(issubclass(error, EisenPackagingError) for error in errors)
    assert all(error.__name__ in public._errors.__doc__ for error in errors)
