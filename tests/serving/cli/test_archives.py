"""Archives as ``eisen-serve`` takes them: verified, told apart, and linked."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from eisen_deploy.packaging import EisenServingMAR, create_metadata
from eisen_deploy.serving.archives import BadArchives, store, verify

ROWS = np.float32([[1, 2]])


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo")
    metadata = create_metadata(["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]])
    metadata["model_output_list"] = ["y"]
    packer = EisenServingMAR(None, None, metadata)
    for version, more in {"1": {}, "2": {"sample": {"x": ROWS}, "serving": {"workers": 2}}}.items():
        packer.pack(torch.nn.Identity(), folder / version, "seg", version, **more)
    return folder


def test_what_is_known_of_an_archive(zoo):
    (plain,) = verify([zoo / "1" / "seg.mar"])
    assert (plain.name, plain.version, plain.url_part) == ("seg", "1", "seg")
    assert plain.sample is None
    assert not plain.has_options
    (rich,) = verify([zoo / "2" / "seg.mar"])
    assert rich.has_options
    assert rich.serving.workers == 2
    body, headers = rich.sample
    assert body.endswith(ROWS.tobytes())
    assert int(headers["Inference-Header-Content-Length"]) == len(body) - ROWS.nbytes


def test_two_versions_have_names_and_files_of_their_own(zoo, tmp_path):
    found = verify([zoo / "1" / "seg.mar", zoo / "2" / "seg.mar"])
    assert [archive.url_part for archive in found] == ["seg/1", "seg/2"]
    assert store(found, tmp_path / "store") == ["seg-1.mar", "seg-2.mar"]


def test_what_was_verified_is_served_whatever_takes_its_place(zoo, tmp_path):
    archive = shutil.copy(zoo / "1" / "seg.mar", tmp_path / "seg.mar")
    found = verify([archive])
    store(found, tmp_path / "store")
    (tmp_path / "other").write_bytes(b"another one")
    (tmp_path / "other").replace(archive)
    assert (tmp_path / "store" / "seg.mar").read_bytes() == (zoo / "1" / "seg.mar").read_bytes()


def test_all_that_is_wrong_is_told_with_its_archive(zoo, tmp_path):
    good = zoo / "1" / "seg.mar"
    raw = bytearray(good.read_bytes())
    raw[len(raw) // 2] ^= 1
    (tmp_path / "bad.mar").write_bytes(raw)
    with pytest.raises(BadArchives) as caught:
        verify([good, tmp_path / "bad.mar", tmp_path / "none.mar", good])
    bad, missing, twice = caught.value.problems
    assert bad.startswith(f"{tmp_path / 'bad.mar'}: ")
    assert missing == f"{tmp_path / 'none.mar'}: No such file or directory"
    assert twice == f"{good}: seg 1 is in {good} as well: serve one of them"
