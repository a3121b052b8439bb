"""What imported folders predict in this process, beside nnU-Net's own predictor; as JSON."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from pathlib import Path

import nibabel
import numpy as np
import torch
from nnunetv2.postprocessing.remove_connected_components import (
    remove_all_but_largest_component_from_segmentation,
)

from eisen_deploy.packaging import EisenPackagingError
from eisen_deploy.packaging._nnunet.arguments import make_arguments
from eisen_deploy.packaging._nnunet.reading import read_folder
from eisen_deploy.serving import InvalidInput

STEPS = {
    "postprocessing_fns": ["remove_all_but_largest_component_from_segmentation"],
    "postprocessing_kwargs": [{"labels_or_regions": [1, 2]}],
}


def load(images, case):
    files = [nibabel.load(images / f"{case}_{number:04}.nii.gz") for number in range(2)]
    values = [torch.tensor(file.get_fdata(dtype=np.float32))[None, None] for file in files]
    return [*values, torch.tensor(files[0].affine)[None]]


def predict(model, values):
    with torch.no_grad():
        return model(*values).numpy()[0, 0]


def refusal(model, *values):
    try:
        predict(model, values)
    except InvalidInput as error:
        return error.problems[0]
    return None


def refuse_cascade(trained, folder):
    """Return why a cascade is refused, whose network takes two labels more."""
    shutil.copytree(trained, folder, ignore=shutil.ignore_patterns("crossval"))
    plans = json.loads((folder / "plans.json").read_text())
    plans["configurations"]["3d_fullres"]["previous_stage"] = "3d_lowres"
    (folder / "plans.json").write_text(json.dumps(plans))
    path = folder / "fold_0" / "checkpoint_final.pth"
    checkpoint = torch.load(path, weights_only=False)
    for name, value in checkpoint["network_weights"].items():
        if value.ndim == 5 and value.shape[1] == 2:
            checkpoint["network_weights"][name] = torch.cat([value, value], 1)
    torch.save(checkpoint, path)
    try:
        read_folder(folder)
    except EisenPackagingError as error:
        return error.problems
    return None


def main(folder, results):
    remarks = []
    handler = logging.Handler()
    handler.emit = lambda record: remarks.append(record.getMessage())
    logging.getLogger("eisen_deploy.packaging").addHandler(handler)
    trained = folder / "regions" / results
    steps = trained / "crossval" / "postprocessing.json"
    steps.parent.mkdir(exist_ok=True)
    steps.write_text(json.dumps(STEPS))
    imported = read_folder(trained)
    arguments = make_arguments(imported)
    model = imported.model
    given = {case: load(folder / "images", case) for case in ("oblique", "upright")}
    masks = {case: predict(model, values) for case, values in given.items()}
    first, second, affine = given["oblique"]
    plain = read_folder(trained, ["0"], postprocessing=steps, mirroring=False).model
    largest = remove_all_but_largest_component_from_segmentation
    plain_mask = predict(plain, given["oblique"])
    plain.postprocessing = None
    found = {
        "regions": [
            bool(
                (nibabel.load(folder / "regions" / "eval" / f"{case}.nii.gz").dataobj == mask).all()
            )
            for case, mask in masks.items()
        ],
        "one fold": len(plain.folds) == 1,
        "mirroring matters": bool((predict(plain, given["oblique"]) != masks["oblique"]).any()),
        "postprocessing": bool(
            (plain_mask == largest(predict(plain, given["oblique"]), [1, 2])).all()
        ),
        "cascade": refuse_cascade(trained, folder / "cascade"),
        "segments": arguments["meta_data"]["custom"].get("segments"),
        "no affine": refusal(model, first, second, affine * 0),
        "affine in micrometres": refusal(model, first, second, affine * 1000),
        "shapes": refusal(model, first, second[:, :, 1:], affine),
        "remarks": remarks,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
