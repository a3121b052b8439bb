"""The metadata of a bundle: inputs, outputs and segments, from what it says of its network.

A bundle describes what goes into its network and comes out of it (``network_data_format``), not
what its transforms take and give. So sizes are free wherever a spatial transform or an inferer of
patches is in between, and segments are declared only where the post-processing shows that the
numbers in its mask are those of ``channel_def``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eisen_deploy.packaging._arguments.item_transforms import PLACING
from eisen_deploy.packaging._errors import InvalidArgument
from eisen_deploy.packaging._metadata import create_metadata
from eisen_deploy.packaging._shared.model.metadata import AFFINE
from eisen_deploy.serving.runtime.archive.items import list_steps

from .anatomy import make_segment
from .reading import Bundle

Format = Mapping[str, Any]

_SPATIAL = ("monai.transforms.spatial.", "monai.transforms.croppad.")
# Transforms after which a mask has the numbers that it had before.
_NUMBERS_STAY = frozenset(
    [
        *("Activationsd", "AsDiscreted", "CastToTyped", "EnsureTyped", "FillHolesd", "Invertd"),
        *("KeepLargestConnectedComponentd", "RemoveSmallObjectsd", "ToTensord"),
    ]
)
_KEPT = ("version", "monai_version", "task", "network_data_format")


def describe_bundle(bundle: Bundle) -> tuple[dict[str, Any], list[str]]:
    """Return the metadata of a bundle, and remarks on what it does not say.

    :raises InvalidArgument: if it has several inputs or outputs, or does not describe them.
    """
    image, given = find_formats(bundle.meta, "inputs")
    output, returned = find_formats(bundle.meta, "outputs")
    final = bundle.meta["network_data_format"].get("post_processed_outputs", {}).get(output)
    sizes = _find_sizes(bundle, given)
    inputs = [(image, f"ndarray[{bundle.dtype}]", [-1, given["num_channels"], *sizes])]
    if needs_affine(bundle):
        inputs.append((f"{image}{AFFINE}", "ndarray[float64]", [-1, 4, 4]))
    segments, remarks = _find_segments(bundle, final or returned, is_final=final is not None)
    custom: dict[str, Any] = {
        "monai": {key: bundle.meta[key] for key in _KEPT if key in bundle.meta}
    }
    if segments:
        custom["segments"] = [{**each, "output": output} for each in segments]
    is_image = (final or returned).get("type") == "image"
    channels = (final or {}).get("num_channels", -1)
    names, types, shapes = zip(*inputs, strict=True)
    metadata = create_metadata(
        list(names),
        list(types),
        list(shapes),
        [output],
        ["ndarray"],
        [[-1, channels, *(sizes if is_image else [])]],
        model_input_list=[image],
        model_output_list=[output],
        custom_meta_dict=custom,
    )
    return metadata, remarks


def find_formats(meta: Format, side: str) -> tuple[str, Format]:
    """Return name and description of the one input or output of a bundle's network."""
    described = meta.get("network_data_format", {}).get(side)
    where = f"metadata.json: network_data_format.{side}"
    if not isinstance(described, Mapping) or len(described) != 1:
        got = f"{len(described)}" if isinstance(described, Mapping) else "none"
        raise InvalidArgument(f"{where}: expected one, got {got}: pack it with EisenServingMAR")
    ((name, form),) = described.items()
    needed = ("num_channels", "spatial_shape") if side == "inputs" else ("num_channels",)
    missing = [key for key in needed if not isinstance(form, Mapping) or key not in form]
    if missing:
        raise InvalidArgument(f"{where}.{name}: {', '.join(missing)} is missing")
    if side == "inputs" and (form.get("type") != "image" or form["num_channels"] < 1):
        raise InvalidArgument(f"{where}.{name}: expected an image: pack it with EisenServingMAR")
    return str(name), form


def needs_affine(bundle: Bundle) -> bool:
    """Whether pre-processing asks where the voxels lie."""
    return any(type(step).__name__ in PLACING for step in list_steps(bundle.pre_processing))


def _find_sizes(bundle: Bundle, given: Format) -> list[int]:
    """Return the spatial sizes that an input has to have, -1 for any."""
    shape = given["spatial_shape"]
    is_free = given.get("is_patch_data") or any(
        type(step).__module__.startswith(_SPATIAL) for step in list_steps(bundle.pre_processing)
    )
    return [size if isinstance(size, int) and not is_free else -1 for size in shape]


# --- segments -----------------------------------------------------------------------------


def _find_segments(
    bundle: Bundle, form: Format, *, is_final: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what the numbers in the mask mean, and a remark if that cannot be known."""
    labels = form.get("channel_def")
    if not isinstance(labels, Mapping) or not labels or form.get("type") != "image":
        return [], []
    steps = [] if bundle.post_processing is None else [*list_steps(bundle.post_processing)]
    others = sorted({type(step).__name__ for step in steps} - _NUMBERS_STAY)
    if others and not is_final:
        text = (
            f"no segments are declared: {', '.join(others)} may change what the numbers in the "
            "mask mean; describe them as post_processed_outputs in metadata.json"
        )
        return [], [text]
    first = _find_first_number(steps, form, is_final=is_final)
    if first is None:
        return [], []
    numbered = sorted((int(index) + first, str(label)) for index, label in labels.items())
    return [make_segment(number, label) for number, label in numbered if number], []


def _find_first_number(steps: Sequence[Any], form: Format, *, is_final: bool) -> int | None:
    """Return the number in the mask that stands for channel 0; ``None`` if it is no mask.

    In a mask of labels they are counted from 0, which is the background, and as channels from 1.
    """
    discrete = [step for step in steps if type(step).__name__ == "AsDiscreted"]
    if is_final or form["num_channels"] == 1 < len(form["channel_def"]):
        return 0 if form["num_channels"] == 1 else 1
    if not discrete:
        return None
    last = discrete[-1]
    return 0 if last.argmax[0] and last.to_onehot[0] is None else 1
