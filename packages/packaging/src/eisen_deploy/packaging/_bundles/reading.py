"""What a bundle of MONAI is made of: its network, inferer and transforms, by its own configuration.

The configuration is a program: reading a bundle runs it.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eisen_deploy.packaging._arguments.item_transforms import reads_files, writes_files
from eisen_deploy.packaging._errors import InvalidArgument
from eisen_deploy.serving.runtime.archive.items import is_for_items, list_steps

_CONFIGS = tuple(f"configs/inference.{ending}" for ending in ("json", "yaml", "yml"))
_METADATA = "configs/metadata.json"
_STATE_KEYS = ("model", "state_dict", "network")
# What brings a file into the form that a request has from the beginning.
_CHANNEL_FIRST = "EnsureChannelFirstd"


@dataclass(frozen=True)
class Bundle:
    """A bundle in memory, as it runs on one machine and without files.

    :param meta: ``metadata.json``.
    :param model: takes a batch; the inferer is part of it.
    :param pre_processing: the bundle's own transform of one item, without those that read files.
    :param post_processing: the same without those that write files.
    :param dtype: of the arrays that the bundle reads from files.
    """

    name: str
    meta: Mapping[str, Any]
    model: Any
    pre_processing: Any
    post_processing: Any
    dtype: str


def read_bundle(folder: Path, weights: Path | None = None) -> Bundle:
    """Read a bundle.

    :param weights: file with the weights; by default ``models/model.pt``, or the TorchScript
        ``models/model.ts`` of a bundle whose configuration has no network.
    :raises InvalidArgument: if the folder has no bundle, or something in it fails.
    """
    meta = _read_metadata(folder)
    parser = _parse(folder, meta)
    pre_processing = _get_transform(parser, "preprocessing")
    post_processing = _get_transform(parser, "postprocessing")
    network = _make_network(parser, folder, weights)
    readers = [step for step in list_steps(pre_processing) if reads_files(step)]
    return Bundle(
        folder.resolve().name,
        meta,
        _add_inferer(network, _get(parser, "inferer")),
        _leave_out(pre_processing, lambda step: reads_files(step) or _is_channel_step(step)),
        _leave_out(post_processing, writes_files),
        _find_dtype(readers[0]) if readers else "float32",
    )


def _read_metadata(folder: Path) -> Mapping[str, Any]:
    try:
        meta = json.loads((folder / _METADATA).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidArgument(
            f"{folder}: {_METADATA} of a MONAI bundle cannot be read: {error}"
        ) from error
    if not isinstance(meta, Mapping):
        raise InvalidArgument(f"{folder}: {_METADATA}: expected an object")
    return meta


def _parse(folder: Path, meta: Mapping[str, Any]) -> Any:
    """Return MONAI's parser with the configuration of inference, on the CPU."""
    config = next((folder / name for name in _CONFIGS if (folder / name).is_file()), None)
    if config is None:
        raise InvalidArgument(f"{folder}: there is none of {', '.join(_CONFIGS)}")
    try:
        monai = importlib.import_module("monai.bundle")
    except ImportError as error:
        raise InvalidArgument(
            f"a MONAI bundle is read with MONAI: install monai ({error})"
        ) from error
    if str(folder.resolve()) not in sys.path:
        sys.path.insert(0, str(folder.resolve()))  # code of its own, such as scripts/
    with _explain_failures(config.name):
        parser = monai.ConfigParser()
        parser.read_config(str(config))
        parser.read_meta(dict(meta))
        parser.set(str(folder.resolve()), "bundle_root")
        if parser.get("device") is not None:
            parser.set("$torch.device('cpu')", "device")
        parser.parse()
    return parser


@contextmanager
def _explain_failures(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        cause = error
        while cause.__cause__ is not None:
            cause = cause.__cause__  # type: ignore[assignment] # what was raised is an Exception
        first_line = str(cause).strip().partition("\n")[0]  # MONAI has advice after that
        raise InvalidArgument(f"{what}: {type(cause).__name__}: {first_line}") from error


def _get(parser: Any, name: str) -> Any:
    """Return a part of the configuration, made; ``None`` if it has none of that name."""
    if parser.get(name) is None:
        return None
    with _explain_failures(f"inference configuration, {name}"):
        return parser.get_parsed_content(name)


def _get_transform(parser: Any, name: str) -> Any:
    transform = _get(parser, name)
    if transform is not None and not is_for_items(transform):
        raise InvalidArgument(
            f"inference configuration, {name}: expected dictionary transforms, such as "
            "Spacingd: pack it with EisenServingMAR"
        )
    return transform


def _make_network(parser: Any, folder: Path, weights: Path | None) -> Any:
    torch = importlib.import_module("torch")
    network = _get(parser, "network_def")
    path = weights or folder / "models" / ("model.ts" if network is None else "model.pt")
    if not path.is_file():
        raise InvalidArgument(f"{path}: there is no such file with weights: give --weights FILE")
    with _explain_failures(str(path)):
        if network is None:
            return torch.jit.load(path, map_location="cpu").eval()
        state = torch.load(path, map_location="cpu", weights_only=True)
        for key in _STATE_KEYS:
            if isinstance(state.get(key), Mapping):
                state = state[key]
        network.load_state_dict(state)
    return network.cpu().eval()


def _add_inferer(network: Any, inferer: Any) -> Any:
    """Return a network that its inferer calls, on whatever device its input is."""
    if inferer is None or type(inferer).__name__ == "SimpleInferer":
        return network
    for name in ("device", "sw_device"):
        if hasattr(inferer, name):
            setattr(inferer, name, None)
    from eisen_deploy.serving import WithInferer  # noqa: PLC0415 - brings torch

    return WithInferer(network, inferer)


def _leave_out(transform: Any, is_left_out: Any) -> Any:
    """Return a transform without some of its steps.

    It is changed in place: ``Invertd`` refers to the very object that ran before the model.
    """
    if transform is None or not hasattr(transform, "transforms"):
        return None if transform is None or is_left_out(transform) else transform
    kept = (_leave_out(step, is_left_out) for step in transform.transforms)
    transform.transforms = tuple(step for step in kept if step is not None)
    return transform if transform.transforms else None


def _is_channel_step(step: object) -> bool:
    return type(step).__name__ == _CHANNEL_FIRST


def _find_dtype(reader: Any) -> str:
    numpy = importlib.import_module("numpy")
    dtype = getattr(getattr(reader, "_loader", None), "dtype", None)
    return str(numpy.dtype(dtype or "float32").name)
