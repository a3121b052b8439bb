"""What becomes of batches and items around transforms of MONAI; prints it as JSON."""

from __future__ import annotations

import json
import sys

import numpy as np
from monai.data import MetaTensor
from monai.transforms import (
    Compose,
    CopyItemsd,
    EnsureChannelFirstd,
    Lambdad,
    LoadImaged,
    MapTransform,
    Orientationd,
    SaveImaged,
    Spacingd,
)

from eisen_deploy.packaging import (
    EisenPackagingError,
    EisenServingMAR,
    create_metadata,
    create_metadata_from,
)
from eisen_deploy.serving import ServingError, WithInferer
from eisen_deploy.serving.runtime.archive.items import apply, is_for_items

VOLUME, AFFINE = [-1, 1, -1, -1, -1], [-1, 4, 4]


class Note(MapTransform):
    """Notes what an item is."""

    def __init__(self):
        super().__init__("image")
        self.seen = []

    def __call__(self, item):
        self.seen.append(item)
        return item


class CropToContent(MapTransform):
    """Keeps as many voxels as the first one says."""

    def __call__(self, item):
        return {**item, "image": item["image"][:, : int(item["image"].flatten()[0])]}


def describe(value):
    name = type(value).__name__
    return f"{name} {value.dtype} {list(value.shape)}" if hasattr(value, "shape") else repr(value)


def refusal(call, *arguments, **keywords):
    try:
        call(*arguments, **keywords)
    except (EisenPackagingError, ServingError) as error:
        return [type(error).__name__, *error.problems]
    return None


def metadata_of(**inputs):
    kinds = ["ndarray"] * len(inputs)
    out = (["pred"], ["ndarray"], [VOLUME])
    return create_metadata([*inputs], kinds, [*inputs.values()], *out, model_input_list=["image"])


def show_items():
    note = Note()
    image = np.arange(12, dtype=np.uint16).reshape(2, 1, 3, 2)
    affine = np.stack([np.diag([2.0, 2, 2, 1]), np.diag([3.0, 3, 3, 1])])
    batch = {"image": image, "image_affine": affine, "age": np.array([7, 8]), "note": "x"}
    batch |= {"table": np.ones((5, 2))}
    result = apply(Compose([note, CopyItemsd("image", names="copy")]), batch, ["image"])
    first, second = note.seen
    return {
        "item": {name: describe(value) for name, value in first.items()},
        "is_placed": [float(item["image"].affine[0, 0]) for item in (first, second)],
        "values": second["image"].flatten().tolist(),
        "untouched": [name for name in batch if result[name] is batch[name]],
        "copy": describe(result["copy"]),
        "is_batch": result["copy"].is_batch,
    }


def main():
    chain = [LoadImaged("image"), EnsureChannelFirstd("image"), Spacingd("image", (1, 1, 1))]
    ones = np.ones((1, 1, 4, 5, 6), np.float32)
    placed = {"image": ones, "image_affine": np.eye(4)[None]}
    channel = apply(Compose(chain[1:]), placed, ["image"])
    shrink = Compose([CropToContent("image")])
    sizes = np.array([1, 0, 0, 2, 0, 0], np.float32).reshape(2, 1, 3)
    transform = Compose([Orientationd("image", "LPS"), Spacingd("image", (1, 2, 1))])
    net = WithInferer(__import__("torch").nn.Identity(), lambda image, network: network(image))
    found = {
        "items": show_items(),
        "functions get the batch": is_for_items(Compose([dict, dict])),
        "nested": is_for_items(Compose([Compose([Note()]), dict])),
        "other callable": is_for_items(dict),
        "channel first stays": describe(channel["image"]),
        "files": refusal(
            EisenServingMAR,
            Compose(chain),
            Compose([SaveImaged("pred")]),
            metadata_of(image=VOLUME, image_affine=AFFINE),
        ),
        "no affine": refusal(EisenServingMAR, Compose(chain[1:]), None, metadata_of(image=VOLUME)),
        "with affine": refusal(
            EisenServingMAR,
            Compose(chain[1:]),
            None,
            metadata_of(image=VOLUME, image_affine=AFFINE),
        ),
        "shapes": refusal(apply, shrink, {"image": sizes}, ["image"]),
        "rows": refusal(apply, shrink, {"image": sizes[:0]}, ["image"]),
        "one row": describe(apply(shrink, {"image": sizes[1:]}, ["image"])["image"]),
        "signature": create_metadata_from(
            net, placed, transform, Lambdad("output", lambda x: x > 0), show=None
        ),
        "keeps metadata": isinstance(channel["image"], MetaTensor),
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
