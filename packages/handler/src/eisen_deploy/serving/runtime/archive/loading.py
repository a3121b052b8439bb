"""Bring an archive's transforms and model in, once every digest has been checked."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import logging
import sys
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .._shared.archive.batches import Batches
from .._shared.archive.description import Description, PackedModel, RecordedSample
from .._shared.archive.names import CODE_FOLDER
from .._shared.model.metadata import Metadata
from .._shared.model.serving_options import ServingOptions
from ..errors import LoadFailed
from ..messages import Batch
from .model import Model, find_keyword_positions
from .options import compile_module, pick_device, read_options
from .verification import verify

if TYPE_CHECKING:
    from pickle import _Unpickler as PythonUnpickler

_log = logging.getLogger("eisen_deploy.serving")

#: The package that this one is a part of: ``_eisen_serving`` inside an archive.
_RUNTIME = __name__.removesuffix(".archive.loading")

# By the name of each file what its pickle holds, by number, while an archive is loaded.
Memos = dict[str, dict[int, Any]]
Transform = Callable[[Batch], Batch]


@dataclass(frozen=True)
class LoadedArchive:
    """An archive in memory.

    :param metadata_text: ``metadata.json`` as it was packed.
    :param pre_processing: ``None`` for identity; so is ``post_processing``.
    :param digest: SHA-256 that stands for the whole archive, hexadecimal.
    :param options: the serving options, each at its default where the archive has none.
    :param alive: what model and transforms refer to weakly: nothing else may hold it here.
    :param sample: files of a request and its reply, or ``None``.
    :param batches: whether requests may share a forward pass, as packaging has proven it.
    """

    name: str
    version: str
    digest: str
    metadata_text: str
    metadata: Metadata
    pre_processing: Transform | None
    post_processing: Transform | None
    model: Model
    options: ServingOptions
    sample: RecordedSample | None
    batches: Batches
    alive: tuple[object, ...] = ()


def load(folder: Path, gpu_id: int | None = None) -> LoadedArchive:
    """Load an unpacked archive onto the GPU with this number, or onto the CPU.

    Nothing is imported from the folder or unpickled before all of it has been verified, and there
    is no way around that.

    :raises LoadFailed: if a file is not the one that was packed, or cannot be loaded here.
    """
    about = verify(folder)
    make_importable(folder)
    options = read_options(folder, about.serving)
    device = pick_device(options, gpu_id)
    text = (folder / "metadata.json").read_text("utf-8")
    for difference in _list_version_differences(about):
        _log.warning("not as it was packed: %s", difference)
    metadata = Metadata.parse(json.loads(text))
    with _explain_failures(about):
        memos: Memos = {}
        model = _load_model(folder, about.model, metadata, options, device, memos)
        pre_processing = _load_transform(folder, about.transforms["pre_processing"], memos)
        post_processing = _load_transform(folder, about.transforms["post_processing"], memos)
        return LoadedArchive(
            about.model.name,
            about.model.version,
            about.digest,
            text,
            metadata,
            pre_processing,
            post_processing,
            model,
            options,
            about.sample,
            about.batches,
            tuple(_find_weakly_held(memos)),
        )


def make_importable(folder: Path) -> None:
    """Let the code of a verified archive be imported, and what it imports of ours be found.

    ``from eisen_deploy.serving import ...`` then means this package, installed there or not.
    """
    for path in (str(folder), str(folder / CODE_FOLDER)):
        if path not in sys.path:
            sys.path.insert(0, path)
    if _RUNTIME.startswith("eisen_deploy."):
        return  # this is the installed package itself
    package = sys.modules[_RUNTIME]
    sys.modules["eisen_deploy.serving"] = package
    try:
        parent = importlib.import_module("eisen_deploy")
    except ImportError:
        parent = sys.modules["eisen_deploy"] = ModuleType("eisen_deploy")
    parent.serving = package  # type: ignore[attr-defined]


@contextmanager
def _explain_failures(about: Description) -> Iterator[None]:
    """Turn whatever user code raises while it is loaded into :class:`LoadFailed`."""
    try:
        yield
    except (LoadFailed, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}"
        differences = _list_version_differences(about)
        more = f" ({'; '.join(differences)})" if differences else ""
        raise LoadFailed(f"the archive cannot be loaded: {reason}{more}") from error


def _list_version_differences(about: Description) -> list[str]:
    """Say which versions differ from those that packed the archive: a likely cause."""
    here = {
        "python": ".".join(map(str, sys.version_info[:3])),
        "numpy": np.__version__,
        "torch": str(torch.__version__),
    }
    differences = [
        f"{name} {about.packed_with[name]} packed it, {version} runs here"
        for name, version in here.items()
        if about.packed_with.get(name, version) != version
    ]
    return differences + [found for text in about.requirements if (found := _explain_unmet(text))]


def _explain_unmet(requirement: str) -> str | None:
    """Say how the version that is installed is not the one that is pinned, if it is pinned."""
    name, pinned, version = requirement.partition("==")
    if not pinned:
        return None
    try:
        installed = importlib.metadata.version(name.partition("[")[0])
    except importlib.metadata.PackageNotFoundError:
        return f"{requirement} is required, none is installed here"
    if installed.partition("+")[0] != version.partition("+")[0]:
        return f"{requirement} is required, {installed} is installed here"
    return None


# dill would take classes of __main__ from the worker's __main__ where the names are the same.
_OWN_CLASSES = {"ignore": True}


def _import_dill() -> ModuleType:
    """Return dill as it was packed: the archive's folder comes first on the path."""
    return importlib.import_module("dill")


def _load_transform(folder: Path, name: str | None, memos: Memos) -> Transform | None:
    """Unpickle one file; what it shares with those before it is taken from there."""
    if name is None:
        return None

    class Unpickler(_make_unpickler(name, memos)):  # type: ignore[misc] # dill has no types
        def persistent_load(self, place: tuple[str, int]) -> object:
            file, index = place
            if file not in memos:
                raise LoadFailed(f"{name} shares objects with {file}, which is read before it")
            return memos[file][index]

    with (folder / name).open("rb") as file:
        transform: Transform = Unpickler(file, **_OWN_CLASSES).load()
    return transform


def _make_unpickler(name: str, memos: Memos) -> type[PythonUnpickler]:
    """Return the class that unpickles one file, and keeps by number what is in it."""

    class Unpickler(_import_dill().Unpickler):  # type: ignore[misc] # dill has no types
        def load(self) -> object:
            found: object = super().load()
            memos[name] = self.memo.copy()
            return found

    return Unpickler


def _find_weakly_held(memos: Memos) -> Iterator[object]:
    for obj in chain.from_iterable(memo.values() for memo in memos.values()):
        kind = type(obj)  # isinstance would wake up what a proxy stands for
        if issubclass(kind, weakref.ref):
            yield obj()
        elif issubclass(kind, weakref.WeakValueDictionary):
            yield from obj.values()
        elif issubclass(kind, (weakref.WeakKeyDictionary, weakref.WeakSet)):
            yield from obj


def _load_model(
    folder: Path,
    about: PackedModel,
    metadata: Metadata,
    options: ServingOptions,
    device: torch.device,
    memos: Memos,
) -> Model:
    path = folder / about.file
    loaders: dict[str, Callable[[Path, torch.device], torch.nn.Module]] = {
        "eager": partial(_load_eager, memos=memos),
        "torchscript": _load_torchscript,
        "export": _load_export,
    }
    module = compile_module(loaders[about.form](path, device), options, device)
    keywords = find_keyword_positions(metadata.model_inputs, about.keywords)
    model = Model(module, device, options.precision, keywords)
    _log.info("model %s %s loaded on %s", about.name, about.version, device)
    if about.training:
        _log.warning("in training mode, as they were packed: %s", ", ".join(about.training))
    return model


def _load_eager(path: Path, device: torch.device, memos: Memos) -> torch.nn.Module:
    ours = SimpleNamespace(__name__=__name__, Unpickler=_make_unpickler(path.name, memos))
    module: torch.nn.Module = torch.load(
        path, map_location=device, pickle_module=ours, weights_only=False, **_OWN_CLASSES
    )
    for inner in module.modules():
        if isinstance(inner, torch.jit.ScriptModule):
            inner.to(device)  # it is loaded by itself, without map_location
    return set_evaluation_mode(module)


def set_evaluation_mode(module: torch.nn.Module) -> torch.nn.Module:
    """Put a module into evaluation mode, unless its user has done so already, and return it.

    Submodules that are in training mode then are so on purpose.
    """
    # A frozen ScriptModule has no modes.
    return module.eval() if getattr(module, "training", False) else module


def _load_torchscript(path: Path, device: torch.device) -> torch.nn.Module:
    with warnings.catch_warnings():
        # That TorchScript is deprecated is for who packs a model, not for who serves it.
        warnings.simplefilter("ignore", DeprecationWarning)
        module: torch.nn.Module = torch.jit.load(  # type: ignore[no-untyped-call]
            path, map_location=device
        )
    return set_evaluation_mode(module)


def _load_export(path: Path, device: torch.device) -> torch.nn.Module:
    program = torch.export.load(path)
    if device.type != "cpu":
        from torch.export.passes import move_to_device_pass  # noqa: PLC0415 - torch 2.5

        program = move_to_device_pass(program, device)
    module: torch.nn.Module = program.module()
    return module
