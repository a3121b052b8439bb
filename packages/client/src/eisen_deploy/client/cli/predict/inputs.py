"""The inputs of one prediction: from arguments and files to a batch, with the layout of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from eisen_deploy.client import files
from eisen_deploy.client._shared.errors import ContractError
from eisen_deploy.client._shared.model.metadata import AFFINE, Field, Metadata
from eisen_deploy.client._shared.wire import strict_json
from eisen_deploy.client.cli.exit_statuses import UsageError
from eisen_deploy.client.files.formats import find_format
from eisen_deploy.client.files.numpy_files import read_npz


class NamedFile(NamedTuple):
    """A file, and the input or output it belongs to; ``None`` for all of an ``.npz`` file."""

    name: str | None
    path: Path

    @classmethod
    def parse(cls, text: str) -> NamedFile:
        """Read ``NAME=FILE``, or ``FILE.npz``.

        :raises ValueError: if it is neither.
        """
        name, equals, path = text.partition("=")
        if equals and name and path:
            return cls(name, Path(path))
        if not equals and find_format(Path(text)) == ".npz":
            return cls(None, Path(text))
        raise ValueError("expected NAME=FILE, or FILE.npz for all names")

    def __str__(self) -> str:
        return str(self.path) if self.name is None else f"{self.name}={self.path}"


class Batch(NamedTuple):
    """What is sent, how the spatial axes of each image lie in it, and remarks for the user."""

    values: dict[str, object]
    layouts: dict[str, files.Layout]
    remarks: list[str]


@contextmanager
def naming_file(file: NamedFile) -> Iterator[None]:
    """Name the file in an error, as the user named it."""
    try:
        yield
    except files.FileError as error:
        raise type(error)(f"{file}: {error}") from error


def read_batch(
    inputs: Iterable[NamedFile],
    values: Iterable[tuple[str, str]],
    metadata: Metadata,
    orientation: str | None,
    monochrome1: str | None,
) -> Batch:
    """Read all inputs.

    :param values: name and text of inputs that are not files.
    :param orientation: to which images are turned.
    :raises UsageError: if an input is given twice, or is not of the model.
    :raises FileError: if a file cannot be read.
    """
    fields = {each.name: each for each in metadata.inputs or ()}
    batch = Batch({}, {}, [])
    for file in inputs:
        with naming_file(file):
            for name, content in _read_contents(file, monochrome1):
                _refuse_second(name, batch.values)
                batch.remarks.extend(f"{file}: {remark}" for remark in content.remarks)
                batch.values[name] = content.value
                if isinstance(content.value, np.ndarray):
                    shape = fields[name].shape if name in fields else None
                    turned = orientation if content.spatial else None
                    array, layout = files.to_model(content, shape, turned)
                    batch.values[name], batch.layouts[name] = array, layout
    for name, text in values:
        _refuse_second(name, batch.values)
        batch.values[name] = _read_value(name, text, fields.get(name))
    _add_affines(batch, fields)
    return batch


def check_names(
    inputs: Sequence[NamedFile], values: Sequence[tuple[str, str]], metadata: Metadata
) -> None:
    """Check the names of inputs, before their files are read.

    :raises UsageError: if the model has others.
    """
    if metadata.inputs is None:
        return
    given = {file.name for file in inputs if file.name is not None} | {name for name, _ in values}
    known = [each.name for each in metadata.inputs]
    strays = sorted(given - set(known))
    missing = [name for name in known if name not in given and _name_image(name) not in given]
    if strays:
        raise UsageError(f"the model has no input {', '.join(strays)}: it takes {', '.join(known)}")
    if missing and not any(file.name is None for file in inputs):
        raise UsageError(f"the model also takes {', '.join(missing)}: give --input or --value")


def find_grid(
    layouts: Mapping[str, files.Layout], like: str | None, *, wants_slices: bool
) -> files.Layout:
    """Return the layout of the input on whose grid outputs lie.

    :param like: name of the input; ``None`` if there can be only one grid.
    :param wants_slices: whether it has to be DICOM.
    :raises GeometryMismatch: if no input has one, or several have different ones.
    """
    named = {name: each for name, each in layouts.items() if like in (None, name)}
    placed = [(name, each, each.grid) for name, each in named.items() if each.grid is not None]
    if not placed:
        whose = "no input has" if like is None else f"the input {like} does not have"
        raise files.GeometryMismatch(f"{whose} a geometry that could be put on it: use .npy")
    _, first, grid = placed[0]
    if not all(each.sizes == first.sizes and other.is_like(grid) for _, each, other in placed):
        names = ", ".join(name for name, _, _ in placed)
        raise files.GeometryMismatch(
            f"the inputs {names} lie on different grids: --like says on which one the output lies"
        )
    if not wants_slices:
        return first
    for _, each, other in placed:
        if other.slices:
            return each
    raise files.GeometryMismatch(
        "a DICOM segmentation belongs to DICOM images, and the input is not DICOM: use .nii.gz"
    )


def _read_contents(file: NamedFile, monochrome1: str | None) -> Iterator[tuple[str, files.Content]]:
    if file.name is not None:
        yield file.name, files.read(file.path, file.name, monochrome1=monochrome1)
        return
    if not file.path.exists():
        raise files.UnreadableFile("there is no such file")
    for name, array in read_npz(file.path).items():
        yield name, files.Content(array)


def _add_affines(batch: Batch, fields: Mapping[str, Field]) -> None:
    """Add the affines that the model asks for and nobody gives, from the files of the images.

    :raises UsageError: if such a file has none.
    """
    for name in fields.keys() - batch.values.keys():
        layout = batch.layouts.get(_name_image(name) or "")
        if layout is None:
            continue
        if layout.affine is None:
            image = _name_image(name)
            raise UsageError(f"the model takes {name}, and the file of {image} has none: give it")
        rank = len(fields[name].shape or (1, 4, 4))
        batch.values[name] = layout.affine.reshape((1,) * (rank - 2) + (4, 4))


def _name_image(name: str) -> str | None:
    """Return the input whose affine an input is, by its name."""
    return name[: -len(AFFINE)] if name.endswith(AFFINE) else None


def _refuse_second(name: str, values: Mapping[str, object]) -> None:
    if name in values:
        raise UsageError(f"the input {name} is given twice")


def _read_value(name: str, text: str, field: Field | None) -> object:
    """Read a value as it is declared: text as it is, everything else from JSON."""
    if field is not None and field.type is not None and field.type.kind == "str":
        return text
    try:
        return strict_json.loads(text.encode("utf-8", "surrogateescape"), name)
    except ContractError:
        kind = "JSON" if field is None or field.type is None else f"{field.type}, in JSON"
        raise UsageError(f'--value {name}: expected {kind}; text stands in quotes: "..."') from None
