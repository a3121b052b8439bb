"""Run the code of the page on torchio, then torchio's own pipeline on a file."""

from __future__ import annotations

import runpy
from types import SimpleNamespace

import torch
import torchio as tio

page = SimpleNamespace(**runpy.run_path("page.py", run_name="__main__"))

subject = tio.Subject(scan=tio.ScalarImage("head.nii.gz"))
prepared = page.prepare(subject)
sampler = tio.GridSampler(prepared, 16, 4)
aggregator = tio.GridAggregator(sampler, overlap_mode="hann")
with torch.no_grad():
    for patches in tio.SubjectsLoader(sampler, batch_size=4):
        aggregator.add_batch(page.network(patches["scan"][tio.DATA]), patches[tio.LOCATION])
found = (aggregator.get_output_tensor() > 0).to(torch.uint8)
mask = tio.LabelMap(tensor=found, affine=prepared.scan.affine)
tio.Resample(subject.scan)(mask).save("expected.nii.gz")
