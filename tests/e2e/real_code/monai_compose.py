"""A Compose of MONAI before and after a network with a sliding window, handed over as it is.

What is expected comes from MONAI's own loop over NIfTI files: LoadImaged, a DataLoader, the
inferer, and the post-processing of each item.
"""

from __future__ import annotations

import sys
from pathlib import Path

import images
import nibabel
import numpy as np
import torch
from monai.data import DataLoader, Dataset, decollate_batch
from monai.inferers import SlidingWindowInferer
from monai.networks.nets import UNet
from monai.transforms import (
    Activationsd,
    AsDiscreted,
    Compose,
    EnsureChannelFirstd,
    EnsureTyped,
    Invertd,
    LoadImaged,
    NormalizeIntensityd,
    Orientationd,
    Spacingd,
)

from eisen_deploy.packaging import EisenServingMAR, create_metadata
from eisen_deploy.serving import WithInferer

PRE = Compose(
    [
        Orientationd("image", axcodes="PLI", labels=None),
        Spacingd("image", pixdim=(2.5, 3, 4), mode="bilinear"),
        NormalizeIntensityd("image", channel_wise=True),
        EnsureTyped("image"),
    ]
)
POST = Compose(
    [
        Activationsd("pred", softmax=True),
        Invertd("pred", transform=PRE, orig_keys="image", nearest_interp=False),
        AsDiscreted("pred", argmax=True),
    ]
)
READ = [LoadImaged("image"), EnsureChannelFirstd("image")]


def predict_from_files(network, inferer, paths):
    """Return what MONAI predicts for files of one shape, as one array (N, 1, D, H, W)."""
    dataset = Dataset([{"image": path} for path in paths], Compose([*READ, *PRE.transforms]))
    masks = []
    for batch in DataLoader(dataset, batch_size=len(paths)):
        with torch.inference_mode():
            batch["pred"] = inferer(batch["image"], network)
        masks += [POST(item)["pred"].numpy() for item in decollate_batch(batch)]
    return np.stack(masks)


def write_two(folder):
    """Write two volumes of one shape that lie differently in the patient."""
    oblique = np.array(
        [[-2.0, 0.3, 0, 60], [0.3, 2.0, 0.2, -70], [0, -0.2, 4.0, -20], [0, 0, 0, 1]]
    )
    mirrored = oblique @ np.array([[-1, 0, 0, 63], [0, 1, 0, 0], [0, 0, -1, 23], [0, 0, 0, 1.0]])
    paths = [folder / "monai_0.nii.gz", folder / "monai_1.nii.gz"]
    for path, volume, affine in zip(paths, images.functional(), (oblique, mirrored)):
        nibabel.Nifti1Image(volume[0], affine).to_filename(path)
    return paths


def read(paths):
    """Return files as a client sends them."""
    found = [nibabel.load(path) for path in paths]
    return {
        "image": np.stack([each.get_fdata(dtype=np.float32)[None] for each in found]),
        "image_affine": np.stack([each.affine for each in found]),
    }


def main(folder):
    torch.manual_seed(0)
    network = UNet(3, 1, 3, channels=(4, 8), strides=(2,), num_res_units=1).eval()
    inferer = SlidingWindowInferer((16, 16, 16), sw_batch_size=4, overlap=0.25, mode="gaussian")
    metadata = create_metadata(
        ["image", "image_affine"],
        ["ndarray[float32]", "ndarray[float64]"],
        [[-1, 1, -1, -1, -1], [-1, 4, 4]],
        ["pred"],
        ["ndarray"],
        [[-1, 1, -1, -1, -1]],
        model_input_list=["image"],
        model_output_list=["pred"],
    )
    files = {"sample": [images.DATA / "anatomical.nii"], "other": write_two(folder)}
    arrays = {}
    for title, paths in files.items():
        mask = predict_from_files(network, inferer, paths)
        assert len(np.unique(mask)) > 1
        arrays |= {f"{title}/inputs/{name}": array for name, array in read(paths).items()}
        arrays[f"{title}/outputs/pred"] = mask
    EisenServingMAR(PRE, POST, metadata).pack(
        WithInferer(network, inferer),
        folder,
        "monai_compose",
        "1.0",
        sample=read(files["sample"]),
        requirements=["nibabel"],  # what turns axes by name; MONAI imports it if it can
    )
    np.savez(folder / "monai_compose.npz", **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
