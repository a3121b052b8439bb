"""The serving options that the handler applies: device, precision, compiling."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from eisen_deploy.packaging import create_metadata
from eisen_deploy.serving.runtime._shared.archive import unpacked_folder
from eisen_deploy.serving.runtime._shared.model.serving_options import ServingOptions
from eisen_deploy.serving.runtime.archive import options as applied
from eisen_deploy.serving.runtime.archive.loading import load
from eisen_deploy.serving.runtime.archive.model import Model
from eisen_deploy.serving.runtime.archive.options import (
    compile_module,
    count_threads,
    pick_device,
    read_options,
)
from eisen_deploy.serving.runtime.errors import LoadFailed
from eisen_deploy.serving.runtime.session import InferenceSession
from eisen_deploy.serving.runtime.torchserve import server_config
from eisen_deploy.serving.runtime.torchserve.server_config import ServerConfig

CPU = torch.device("cpu")


class Seeing(torch.nn.Module):
    """Gives its result in several wrappings, and the type in which its layer computed."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)

    def forward(self, x):
        y = self.layer(x)
        kind = {torch.float32: 32, torch.float16: 16, torch.bfloat16: 8}[y.dtype]
        return {"y": y, "kind": torch.full((len(x),), kind), "inner": [y, (y, "text", None)]}


def test_without_a_file_every_option_is_at_its_default(affine_folder):
    loaded = load(affine_folder)
    assert loaded.options == ServingOptions()
    assert loaded.options.self_test
    assert loaded.sample is None
    assert loaded.model.half is None


def test_options_travel_from_pack_to_the_handler(unpack, affine):
    serving = {"workers": 3, "precision": "bfloat16", "device": "cpu", "self_test": False}
    loaded = load(unpack(affine[0](), affine[1], serving=serving))
    assert loaded.options == ServingOptions(**serving)
    assert loaded.model.half is torch.bfloat16


def rewrite(folder, text):
    """Change the options as who can rewrite an archive can: with its digests."""
    (folder / "model-config.yaml").write_text(text)
    about = json.loads((folder / "eisen.json").read_text())
    kept = {key: about[key] for key in about if key not in ("format", "files", "digest")}
    unpacked_folder.write(folder, {**kept, "serving": "model-config.yaml"})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("minWorkers: 2", "is not JSON"),
        ("[]", "must be a JSON object"),
        ('{"eisen": {"device": "tpu"}}', "serving.device: expected"),
        ('{"eisen": {"turbo": 1}}', "'turbo' is not an option"),
        ("{}", "other keys or values"),
    ],
)
def test_a_file_that_packaging_does_not_write_is_refused(affine_folder, text, told):
    rewrite(affine_folder, text)
    with pytest.raises(LoadFailed, match=told) as caught:
        load(affine_folder)
    assert "model-config.yaml" in str(caught.value)


def test_reading_options_without_and_with_a_file(tmp_path):
    assert read_options(tmp_path, None) == ServingOptions()
    (tmp_path / "c").write_text(
        '{"eisen": {"device": "auto", "precision": "float16", "compile": false, "self_test": true}}'
    )
    assert read_options(tmp_path, "c") == ServingOptions(precision="float16")


# --- threads -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "workers", "environment", "threads"),
    [
        ({}, None, {}, None),  # no server: whoever uses the handler decides
        ({}, 4, {}, 3),
        ({"workers": 2}, 4, {}, 6),
        ({"workers": 1}, None, {}, 12),
        ({"workers": 13}, 4, {}, 1),
        ({}, 4, {"OMP_NUM_THREADS": "5"}, None),
        ({"threads": 7}, 4, {"OMP_NUM_THREADS": "5"}, 7),
        ({"threads": 7}, None, {}, 7),
    ],
)
def test_the_cores_are_shared_among_the_workers(options, workers, environment, threads):
    assert count_threads(ServingOptions(**options), workers, environment, cores=12) == threads


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    ("models", "threads"), [({}, 1), ({"model": {"1.0": {"minWorkers": 3}}}, 4)]
)
def test_the_number_of_workers_is_read_from_the_server(
    start, affine, threads_as_before, monkeypatch, models, threads
):
    config = ServerConfig(default_workers_per_model=12, models=models)
    monkeypatch.setattr(server_config, "read", lambda: config)
    monkeypatch.setattr(applied, "count_cores", lambda: 12)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    start(affine[0](), affine[1])
    assert torch.get_num_threads() == threads


@pytest.fixture
def threads_as_before():
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


def test_threads_are_set_before_the_model_is_loaded(unpack, affine, threads_as_before, caplog):
    wanted = threads_as_before + 1
    with caplog.at_level(logging.INFO, "eisen_deploy.serving"):
        InferenceSession.open(unpack(affine[0](), affine[1], serving={"threads": wanted}))
    assert torch.get_num_threads() == wanted
    told = caplog.messages
    assert told.index(f"torch uses {wanted} threads") < told.index("model model 1.0 loaded on cpu")


def test_without_option_and_server_torch_keeps_its_threads(affine_folder, threads_as_before):
    torch.set_num_threads(threads_as_before + 1)
    InferenceSession.open(affine_folder)
    assert torch.get_num_threads() == threads_as_before + 1


# --- device --------------------------------------------------------------------------------


@pytest.fixture
def with_cuda(monkeypatch):
    """As if torch had a GPU: only what picks a device asks for it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


@pytest.fixture
def without_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_the_gpu_that_the_server_assigns(with_cuda):
    assert pick_device(ServingOptions(), 1) == torch.device("cuda", 1)
    assert pick_device(ServingOptions(device="cuda"), 0) == torch.device("cuda", 0)


def test_no_gpu_is_used_unless_wanted_and_assigned(with_cuda):
    assert pick_device(ServingOptions(device="cpu"), 1) == CPU
    assert pick_device(ServingOptions(), None) == CPU


def test_auto_falls_back_to_the_cpu(without_cuda):
    assert pick_device(ServingOptions(), 0) == CPU


def test_a_gpu_that_is_asked_for_and_not_assigned(with_cuda):
    with pytest.raises(LoadFailed, match=r"device cuda, and the server assigns no GPU"):
        pick_device(ServingOptions(device="cuda"), None)


def test_a_gpu_that_is_asked_for_with_a_torch_that_has_none(without_cuda):
    with pytest.raises(LoadFailed, match=r"device cuda, and the server has a torch without CUDA"):
        pick_device(ServingOptions(device="cuda"), 0)


def test_an_archive_that_asks_for_a_gpu_is_refused_before_anything_is_unpickled(
    unpack, affine, monkeypatch
):
    from eisen_deploy.serving.runtime.archive import loading

    folder = unpack(affine[0](), affine[1], lambda data: data, serving={"device": "cuda"})
    monkeypatch.setattr(loading, "_import_dill", lambda: pytest.fail("something is unpickled"))
    with pytest.raises(LoadFailed, match="device cuda"):
        load(folder)


# --- precision -----------------------------------------------------------------------------


@pytest.mark.parametrize(("precision", "kind"), [("float32", 32), ("float16", 16), ("bfloat16", 8)])
def test_layers_compute_in_that_precision_and_outputs_keep_their_dtype(precision, kind):
    x = torch.ones(3, 2)
    result = Model(Seeing().eval(), CPU, precision)([x])
    assert result["kind"].tolist() == [kind] * 3
    assert result["y"].dtype is torch.float32
    first, (second, text, nothing) = result["inner"]
    assert first.dtype is second.dtype is torch.float32
    assert (text, nothing) == ("text", None)


def test_other_types_than_the_precision_stay():
    class Three(torch.nn.Module):
        def forward(self, x):
            return x.double(), x.long(), x.bfloat16()

    types = [value.dtype for value in Model(Three(), CPU, "float16")([torch.ones(2)])]
    assert types == [torch.float64, torch.int64, torch.bfloat16]


def test_a_model_of_a_half_type_keeps_it_where_no_precision_is_asked_for():
    model = Model(torch.nn.Linear(2, 2).half(), CPU)
    assert model([torch.ones(1, 2, dtype=torch.float16)]).dtype is torch.float16


def test_autocast_ends_with_the_call():
    Model(Seeing().eval(), CPU, "bfloat16")([torch.ones(1, 2)])
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_predictions_keep_their_type_and_are_near(start, precision):
    torch.manual_seed(0)
    model = torch.nn.Linear(16, 4).eval()
    metadata = {"model_input_list": ["x"], "model_output_list": ["y"]}
    x = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)
    exact = model(torch.from_numpy(x)).detach().numpy()
    worker = start(model, metadata, serving={"precision": precision})
    y = worker.predict({"x": x}).outputs["y"]
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, exact, atol=0.05)
    assert not np.array_equal(y, exact)


def test_torchscript_in_half_precision(start):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        model = torch.jit.trace(torch.nn.Linear(2, 2).eval(), torch.ones(1, 2))
    metadata = {"model_input_list": ["x"], "model_output_list": ["y"]}
    worker = start(model, metadata, serving={"precision": "bfloat16"})
    answer = worker.predict({"x": np.ones((1, 2), np.float32)})
    assert answer.outputs["y"].dtype == np.float32


def test_limits_of_the_device_are_reported_while_the_model_loads(monkeypatch):
    def refuse(*_):
        raise RuntimeError("Current CUDA Device does not support bfloat16")

    monkeypatch.setattr(torch, "autocast", refuse)
    with pytest.raises(RuntimeError, match="bfloat16"):
        Model(torch.nn.Identity(), CPU, "bfloat16")


# --- compile -------------------------------------------------------------------------------


def test_compile_is_off_by_default():
    module = torch.nn.Identity()
    assert compile_module(module, ServingOptions(), CPU) is module


@pytest.mark.slow
@pytest.mark.parametrize("form", ["eager", "export"])
def test_a_compiled_model_answers_the_same_for_any_batch(start, form, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    torch.manual_seed(0)
    eager = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU()).eval()
    model = eager
    if form == "export":
        batch = torch.export.Dim("batch")
        model = torch.export.export(eager, (torch.ones(2, 4),), dynamic_shapes=({0: batch},))
    metadata = {"model_input_list": ["x"], "model_output_list": ["y"]}
    worker = start(model, metadata, serving={"compile": True})
    assert isinstance(worker.handler.archive.model.module, torch._dynamo.OptimizedModule)
    for rows in (1, 2, 5):
        x = np.random.default_rng(rows).normal(size=(rows, 4)).astype(np.float32)
        y = worker.predict({"x": x}).outputs["y"]
        np.testing.assert_allclose(y, eager(torch.from_numpy(x)).detach().numpy(), atol=1e-5)


@pytest.mark.slow
def test_without_a_compiler_the_archive_is_refused_and_the_cause_named(unpack, tmp_path):
    """A server without g++: torch names it, and so does the refusal."""
    folder = unpack(torch.nn.Linear(2, 2), {}, serving={"compile": True})
    script = tmp_path / "load.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from eisen_deploy.serving.runtime.archive.loading import load\n"
        "try:\n"
        "    load(Path(sys.argv[1]))\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    environment = {"PATH": "", "CXX": "/no/g++", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "i")}
    told = subprocess.run(
        [sys.executable, script, folder],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
    assert told.startswith("LoadFailed the serving options ask for compile")
    assert "torch.compile fails on cpu" in told
    assert "No working C++ compiler" in told
    assert len(told.splitlines()) == 1


def test_a_failing_compiler_is_reported_in_one_line(monkeypatch):
    def fail(_):
        raise ValueError("no such thing\n\nSet TORCHDYNAMO_VERBOSE=1")

    monkeypatch.setattr(applied, "_sum", fail)
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    with pytest.raises(LoadFailed, match=r"fails on cpu: ValueError: no such thing$"):
        compile_module(torch.nn.Identity(), ServingOptions(compile=True), CPU)


@pytest.mark.parametrize(("option", "mode"), [(True, None), ("max-autotune", "max-autotune")])
def test_the_mode_is_passed_on(monkeypatch, option, mode):
    seen = []
    monkeypatch.setattr(torch, "compile", lambda f, mode=None: (seen.append(mode), f)[1])
    compile_module(torch.nn.Identity(), ServingOptions(compile=option), CPU)
    assert seen == [None, mode]


@pytest.mark.parametrize(
    ("rows", "sample", "told"),
    [
        (-1, {"x": np.ones((1, 2), np.float32)}, None),
        (-1, None, "the archive was packed without a sample"),
        (1, None, "the metadata does not free axis 0 of x, y"),
    ],
)
def test_why_requests_do_not_share_a_pass_stands_in_the_log(
    rows, sample, told, start_proven, caplog
):
    metadata = create_metadata(["x"], ["ndarray"], [[rows, 2]], ["y"], ["ndarray"], [[rows, 2]])
    with caplog.at_level(logging.INFO):
        start_proven(torch.nn.Identity(), metadata, serving={"batch_size": 4}, sample=sample)
    found = [text for text in caplog.messages if "the requests of a batch run one by one" in text]
    assert found == ([f"the requests of a batch run one by one: {told}"] if told else [])
