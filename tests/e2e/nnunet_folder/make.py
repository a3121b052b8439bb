"""Trains small networks by nnU-Net's own trainer, and predicts files by nnU-Net's own predictor.

``labels`` has two channels and two folds; its plans exchange axes. ``regions`` has labels that
overlap, and a reader that turns images to RAS.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import nibabel
import numpy as np
import torch

SPACING = [1.2, 3.75, 1.2]  # of the plans, with their axes exchanged
PATCH = [16, 8, 16]
NETWORK = {
    "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
    "arch_kwargs": {
        "n_stages": 2,
        "features_per_stage": [6, 12],
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[3, 3, 3], [3, 3, 3]],
        "strides": [[1, 1, 1], [2, 1, 2]],
        "n_conv_per_stage": [1, 1],
        "n_conv_per_stage_decoder": [1],
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    },
    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
}
RESAMPLING = {"order_z": 0, "force_separate_z": None}
CONFIGURATION = {
    "data_identifier": "nnUNetPlans_3d_fullres",
    "preprocessor_name": "DefaultPreprocessor",
    "batch_size": 2,
    "patch_size": PATCH,
    "median_image_size_in_voxels": [24, 12, 24],
    "spacing": SPACING,
    "normalization_schemes": ["CTNormalization", "ZScoreNormalization"],
    "use_mask_for_norm": [False, True],
    "resampling_fn_data": "resample_data_or_seg_to_shape",
    "resampling_fn_seg": "resample_data_or_seg_to_shape",
    "resampling_fn_data_kwargs": {**RESAMPLING, "is_seg": False, "order": 3},
    "resampling_fn_seg_kwargs": {**RESAMPLING, "is_seg": True, "order": 1},
    "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
    "resampling_fn_probabilities_kwargs": {**RESAMPLING, "is_seg": False, "order": 1},
    "batch_dice": False,
    "architecture": NETWORK,
}
INTENSITIES = {
    "mean": 120.0,
    "std": 80.0,
    "percentile_00_5": -100.0,
    "percentile_99_5": 300.0,
    "min": -200.0,
    "max": 400.0,
    "median": 100.0,
}
PLANS = {
    "dataset_name": "Dataset009_Abdomen",
    "plans_name": "nnUNetPlans",
    "original_median_spacing_after_transp": SPACING,
    "original_median_shape_after_transp": [24, 12, 24],
    "image_reader_writer": "SimpleITKIO",
    "transpose_forward": [1, 0, 2],
    "transpose_backward": [1, 0, 2],
    "configurations": {"3d_fullres": CONFIGURATION},
    "experiment_planner_used": "ExperimentPlanner",
    "label_manager": "LabelManager",
    "foreground_intensity_properties_per_channel": {"0": INTENSITIES, "1": INTENSITIES},
}
DATASET = {
    "channel_names": {"0": "CT", "1": "PET"},
    "labels": {"background": 0, "spleen": 1, "tumour": 2},
    "numTraining": 2,
    "file_ending": ".nii.gz",
}
TURNED = {**PLANS, "image_reader_writer": "NibabelIOWithReorient"}
REGIONS = {
    **DATASET,
    "labels": {"background": 0, "organ": [1, 2], "tumour": [2]},
    "regions_class_order": [1, 2],
}
UPRIGHT = [[0, 0, 1.4, -30], [1.3, 0, 0, -40], [0, -3.5, 0, 55], [0, 0, 0, 1]]
SHAPES = {"oblique": (30, 27, 12), "upright": (25, 13, 31)}


def place(sides, *angles):
    """Return the affine of voxels that are turned about the axes z and x."""
    (a, b), (c, d) = np.cos(angles), np.sin(angles)
    turn = np.array([[a, -c, 0], [c, a, 0], [0, 0, 1]]) @ [[1, 0, 0], [0, b, -d], [0, d, b]]
    affine = np.eye(4)
    affine[:3] = np.column_stack([turn * sides, [40, -30, 10]])
    return affine


def draw(shape, generator):
    """Return two channels with a bright ellipsoid and a brighter core, and the labels."""
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    center = generator.uniform(0.4, 0.6, 3) * shape
    distance = (((places - center) / (0.38 * np.array(shape))) ** 2).sum(-1)
    labels = (distance < 1).astype(np.int8) + (distance < 0.4)
    first = np.array([20.0, 150.0, 250.0])[labels] + generator.normal(0, 30, shape)
    second = np.array([5.0, 6.0, 9.0])[labels] + generator.normal(0, 1, shape)
    return np.stack([first, second]).astype(np.float32), labels[None]


def train(fold, plans, dataset):
    """Train a fold as nnU-Net does, but shorter, and save its checkpoint."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    torch.manual_seed(fold)
    generator = np.random.default_rng(fold)
    arguments = {**plans, "continue_training": False}
    trainer = nnUNetTrainer(arguments, "3d_fullres", fold, dataset, torch.device("cpu"))
    trainer.enable_deep_supervision = False
    trainer.initial_lr = 0.05
    trainer.initialize()
    trainer.inference_allowed_mirroring_axes = (0, 2)
    preprocessor = trainer.configuration_manager.preprocessor_class(verbose=False)
    shape = [PATCH[axis] for axis in plans["transpose_backward"]]
    spacing = [SPACING[axis] for axis in plans["transpose_backward"]]
    for _ in range(40):
        cases = [
            preprocessor.run_case_npy(
                *draw(shape, generator),
                {"spacing": spacing},
                trainer.plans_manager,
                trainer.configuration_manager,
                dataset,
            )
            for _ in range(2)
        ]
        data = torch.tensor(np.stack([image for image, _, _ in cases]))
        target = torch.tensor(np.stack([labels for _, labels, _ in cases])).float()
        if trainer.label_manager.has_regions:
            target = torch.cat([(target >= first).float() for first in (1, 2)], 1)
        trainer.train_step({"data": data, "target": target})
    trainer.save_checkpoint(str(Path(trainer.output_folder, "checkpoint_final.pth")))
    return Path(trainer.output_folder).parent


def predict(folder, images, output):
    """Write what nnU-Net predicts for files."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    output.mkdir()
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(folder), None)
    predictor.predict_from_files_sequential(str(images), str(output))


def main(folder):
    """Write the images, trained folders and predictions."""
    os.environ["nnUNet_preprocessed"] = str(folder / "preprocessed")  # noqa: SIM112 - its name
    generator = np.random.default_rng(3)
    images = folder / "images"
    images.mkdir(parents=True)
    affines = {"oblique": place([-1.1, 1.1, 4.0], 0.2, 0.1), "upright": np.array(UPRIGHT)}
    for case, affine in affines.items():
        channels, _ = draw(SHAPES[case], generator)
        channels[:, :3] = 0  # is cropped
        for number, channel in enumerate(channels):
            image = nibabel.Nifti1Image(channel.astype(np.int16), affine)
            image.to_filename(images / f"{case}_{number:04}.nii.gz")
    data = folder / "preprocessed" / PLANS["dataset_name"] / CONFIGURATION["data_identifier"]
    data.mkdir(parents=True)
    (data / "case.b2nd").touch()  # by it nnU-Net finds the form of the data
    for name, plans, dataset, folds in (
        ("labels", PLANS, DATASET, (0, 1)),
        ("regions", TURNED, REGIONS, (0,)),
    ):
        os.environ["nnUNet_results"] = str(folder / name)  # noqa: SIM112
        (trained,) = {train(fold, plans, dataset) for fold in folds}
        (trained / "plans.json").write_text(json.dumps(plans))
        (trained / "dataset.json").write_text(json.dumps(dataset))
        predict(trained, images, folder / name / "eval")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
