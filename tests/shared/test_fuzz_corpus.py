"""What the fuzzer of ``tools/fuzz`` found worth keeping is read as it should be."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORPUS = Path(__file__).with_name("fuzz_corpus.zip")
sys.path.insert(0, str(ROOT / "tools"))
from fuzz import targets  # noqa: E402

with zipfile.ZipFile(CORPUS) as file:
    INPUTS = [(name, file.read(name)) for name in file.namelist()]


@pytest.mark.parametrize("target", targets.TARGETS)
def test_the_packed_inputs(target):
    inputs = [data for name, data in INPUTS if name.startswith(f"{target}/")]
    assert inputs
    for data in inputs:
        targets.TARGETS[target](data)


@pytest.mark.parametrize("target", targets.TARGETS)
def test_what_the_fuzzer_begins_with_and_every_cut_of_it(target):
    for data in targets.seeds(target):
        for end in range(0, len(data) + 1, 7):
            targets.TARGETS[target](data[:end])


def test_it_begins_with_a_description_that_is_read():
    from eisen_deploy.serving.runtime._shared.archive import eisen_json

    about = eisen_json.encode(targets._ABOUT)
    assert eisen_json.parse(about).model.name == "m"


def test_memory_that_is_not_the_input_s_is_found(monkeypatch):
    """The promise itself is tried: a decoder that hands out free memory is caught."""
    import numpy as np

    from eisen_deploy.serving.runtime._shared.wire import tensors

    def leak(raw, dtype, *_):
        return np.empty(len(raw) // dtype.itemsize, dtype)

    monkeypatch.setattr(tensors, "read_elements", leak)
    with pytest.raises(targets.BrokenPromise, match="not of the input alone"):
        [targets.request(data) for data in targets.seeds("request")]
