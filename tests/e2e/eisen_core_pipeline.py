"""Run the code of the page on eisen-core, then Eisen's own chain on a file."""

from __future__ import annotations

import runpy
from types import SimpleNamespace

import nibabel
import numpy as np
import torch
from eisen.io import LoadNiftiFromFilename
from eisen.transforms import AddChannelDimension, FilterFields, NiftiToNumpy
from eisen.utils.workflows import Testing
from torch.utils.data import DataLoader

page = SimpleNamespace(**runpy.run_path("page.py", run_name="__main__"))

item = {"image": "head.nii.gz"}
for transform in (
    LoadNiftiFromFilename(["image"], "."),
    NiftiToNumpy(["image"]),
    AddChannelDimension(["image"]),
    *page.pre_processing.transforms,
    FilterFields(["image"]),
):
    item = transform(item)
(batch,) = DataLoader([item], batch_size=1)
testing = Testing(page.model.eval(), [batch], metrics=[])
with torch.no_grad():
    prediction = testing.get_output_dictionary(batch)["outputs"]["prediction"]

item = {"prediction": prediction[0].numpy()}
for transform in page.post_processing.transforms:
    item = transform(item)
affine = nibabel.load("head.nii.gz").affine
nibabel.save(nibabel.Nifti1Image(item["mask"][0].astype(np.uint8), affine), "expected.nii.gz")
