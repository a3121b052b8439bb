"""Transforms of MONAI that belong to files, and those of torchio, are refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from eisen_deploy.packaging._errors import InvalidArgument
from eisen_deploy.packaging._shared.model.metadata import AFFINE, Metadata

#: Transforms that need to know where the voxels lie in the patient.
PLACING = ("Orientationd", "ResampleToMatchd", "Spacingd", "SpatialResampled")


def check_item_transforms(transforms: Mapping[str, object], metadata: Metadata) -> None:
    """Check the transforms that take items, if there are any.

    :raises InvalidArgument: with each that reads or writes files, lacks an affine, or takes images
        of torchio.
    """
    # With it comes the runtime, which importing this package does without.
    from eisen_deploy.serving.runtime.archive.items import is_for_items, list_steps  # noqa: PLC0415

    problems = [
        f"{part}: {problem}"
        for part, transform in transforms.items()
        if is_for_items(transform)
        for step in list_steps(transform)
        for problem in (*_find_file_problems(step), *_find_missing_affines(step, part, metadata))
    ]
    problems += [
        f"{part}: {type(transform).__name__} of torchio takes images with their affines, and a "
        "request brings a batch of arrays: call it in a function, on each image"
        for part, transform in transforms.items()
        if _is_of_torchio(transform)
    ]
    if problems:
        raise InvalidArgument(dict.fromkeys(problems))


def reads_files(step: object) -> bool:
    """Whether a transform reads the files of an item."""
    return type(step).__name__ == "LoadImaged"


def writes_files(step: object) -> bool:
    """Whether a transform writes files."""
    return type(step).__name__ in ("SaveImaged", "SaveClassificationd", "WriteFileMappingd")


def _is_of_torchio(transform: object) -> bool:
    """Whether a transform is one of torchio, which would take arrays for images at 1 mm."""
    return any(
        kind.__module__.startswith("torchio.transforms.") for kind in type(transform).__mro__
    )


def _find_file_problems(step: object) -> Iterator[str]:
    kind = type(step).__name__
    if reads_files(step):
        yield (
            f"{kind} reads files, and a request brings arrays, channel first: leave it out, as "
            "in Compose(chain.transforms[1:])"
        )
    if writes_files(step):
        yield (
            f"{kind} writes files on the server: leave it out, as in "
            "Compose(chain.transforms[:-1]); eisen-client writes what it gets to files"
        )


def _find_missing_affines(step: object, part: str, metadata: Metadata) -> Iterator[str]:
    kind, names = type(step).__name__, metadata.input_names
    if part != "pre_processing" or kind not in PLACING:
        return
    for key in getattr(step, "keys", ()):
        is_input = names is None or key in names
        if is_input and f"{key}{AFFINE}" not in (names or ()):
            yield (
                f"{kind} needs to know where the voxels of {key} lie: declare an input "
                f"{key}{AFFINE}, ndarray[float64] of shape [-1, 4, 4]"
            )
