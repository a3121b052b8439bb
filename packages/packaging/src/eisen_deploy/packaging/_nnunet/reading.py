"""What a trained nnU-Net v2 is made of, read by nnU-Net itself.

Its checkpoints are pickles: reading one runs whatever code it contains.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eisen_deploy.packaging._errors import InvalidArgument
from eisen_deploy.packaging._remarks import remark

CHECKPOINT = "checkpoint_final.pth"
_POSTPROCESSING = "postprocessing.json"
_STEP = "remove_all_but_largest_component_from_segmentation"


@dataclass(frozen=True)
class Trained:
    """A trained folder in memory.

    :param folder: its name, of trainer, plans and configuration.
    :param model: takes the channels of a batch and its affines.
    :param folds: whose networks predict together.
    :param plans: ``plans.json``.
    :param dataset: ``dataset.json``.
    """

    folder: str
    model: Any
    folds: Sequence[int | str]
    plans: Mapping[str, Any]
    dataset: Mapping[str, Any]


def read_folder(
    folder: Path,
    folds: Sequence[str] | None = None,
    checkpoint: str = CHECKPOINT,
    postprocessing: Path | None = None,
    *,
    mirroring: bool = True,
) -> Trained:
    """Read a folder of nnU-Net's results.

    :param folds: numbers, or ``all``; by default those that have this checkpoint, as nnU-Net does.
    :param postprocessing: nnU-Net's ``postprocessing.json``, to be applied to each mask.
    :param mirroring: whether predictions are mirrored along the axes that training has allowed.
    :raises InvalidArgument: if the folder is none of nnU-Net's, or it cannot be packed.
    """
    plans, dataset = (_read_json(folder / name) for name in ("plans.json", "dataset.json"))
    chosen = _find_folds(folder, folds, checkpoint)
    steps = _find_postprocessing(folder, postprocessing)
    predictor = _load(folder, chosen, checkpoint)
    _check(predictor)

    from eisen_deploy.serving import NNUNet  # noqa: PLC0415 - brings torch

    model = NNUNet(
        [*_list_networks(predictor)],
        predictor.plans_manager.plans,
        predictor.configuration_manager.configuration,
        dataset,
        mirroring_axes=predictor.allowed_mirroring_axes if mirroring else None,
        postprocessing=steps,
    )
    return Trained(folder.resolve().name, model.eval(), chosen, plans, dataset)


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, Mapping):
        raise InvalidArgument(f"{path}: expected an object")
    return content


def _find_folds(folder: Path, folds: Sequence[str] | None, checkpoint: str) -> list[int | str]:
    """Return the folds that are wanted, or all that there are, in nnU-Net's order."""
    there = sorted(
        path.parent.name.removeprefix("fold_") for path in folder.glob(f"fold_*/{checkpoint}")
    )
    numbered = [fold for fold in there if fold.isdigit()]
    wanted = folds or numbered or there
    missing = [fold for fold in wanted if fold not in there]
    if missing or not wanted:
        names = ", ".join(f"fold_{fold}/{checkpoint}" for fold in missing or ["*"])
        raise InvalidArgument(
            f"{folder}: there is no {names}: expected a folder such as "
            "nnUNetTrainer__nnUNetPlans__3d_fullres; --folds and --checkpoint choose others"
        )
    return [int(fold) if fold.isdigit() else fold for fold in wanted]


def _find_postprocessing(folder: Path, path: Path | None) -> Mapping[str, Any] | None:
    """Return the post-processing that is wanted, and remark on one that is not."""
    if path is None:
        for found in sorted(folder.rglob(_POSTPROCESSING)):
            shown = found.relative_to(folder).as_posix()
            remark(f"{shown} is not applied to masks: give --postprocessing FILE for that")
        return None
    steps = _read_json(path)
    names, arguments = (steps.get(f"postprocessing_{part}") for part in ("fns", "kwargs"))
    if not isinstance(names, list) or not isinstance(arguments, list) or {*names} - {_STEP}:
        raise InvalidArgument(f"{path}: expected postprocessing_fns of {_STEP} and its arguments")
    return {"postprocessing_fns": names, "postprocessing_kwargs": arguments}


def _load(folder: Path, folds: Sequence[int | str], checkpoint: str) -> Any:
    """Return nnU-Net's predictor with networks and plans; what it prints is left out."""
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            module = importlib.import_module("nnunetv2.inference.predict_from_raw_data")
            torch = importlib.import_module("torch")
        except ImportError as error:
            raise InvalidArgument(
                f"nnU-Net is read with nnU-Net: install nnunetv2 ({error})"
            ) from error
        predictor = module.nnUNetPredictor(device=torch.device("cpu"))
        try:
            predictor.initialize_from_trained_model_folder(str(folder), folds, checkpoint)
        except Exception as error:
            first_line = str(error).strip().partition("\n")[0]
            raise InvalidArgument(
                f"{folder}: nnU-Net cannot load it: {type(error).__name__}: {first_line}"
            ) from error
    return predictor


def _check(predictor: Any) -> None:
    from eisen_deploy.serving.runtime.nnunet import READERS  # noqa: PLC0415 - brings torch

    problems = []
    if stage := predictor.configuration_manager.previous_stage_name:
        problems.append(
            f"the configuration is a cascade, which needs the masks of {stage} as well: pack "
            "another one, such as 3d_fullres"
        )
    reader = predictor.plans_manager.plans["image_reader_writer"]
    if reader not in READERS:
        problems.append(
            f"plans.json: image_reader_writer: expected one of {', '.join(READERS)}, got {reader}: "
            "pack it with EisenServingMAR"
        )
    if problems:
        raise InvalidArgument(problems)


def _list_networks(predictor: Any) -> Iterator[Any]:
    network = getattr(predictor.network, "_orig_mod", predictor.network)  # it may be compiled
    for weights in predictor.list_of_parameters:
        fold = deepcopy(network)
        fold.load_state_dict(weights)
        yield fold
