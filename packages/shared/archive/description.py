"""What ``eisen.json`` says of an archive, as typed values: every reader of an archive gets these.

They come from a text that has been checked (:mod:`.eisen_json`, :mod:`.allowed_values`), so
no reader has to check again whether a part is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Optional

from .allowed_values import Contents, find_entry
from .batches import Batches


@dataclass(frozen=True)
class ListedFile:
    """One file of the archive: its SHA-256, hexadecimal, and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class PackedModel:
    """The model: how it was packed, and its file.

    :param form: ``eager``, ``torchscript`` or ``export``.
    :param keywords: inputs that it takes by name.
    :param training: its submodules that are in training mode while it is in evaluation mode.
    """

    name: str
    version: str
    form: str
    file: str
    keywords: tuple[str, ...] = ()
    training: tuple[str, ...] = ()


@dataclass(frozen=True)
class OwnHandler:
    """A subclass of ``EisenServingHandler`` in a file of the archive."""

    file: str
    class_name: str


@dataclass(frozen=True)
class RecordedBody:
    """A body of the Open Inference Protocol in a file; ``json_size`` is that of its JSON part."""

    file: str
    json_size: Optional[int]


@dataclass(frozen=True)
class RecordedSample:
    """One request, the reply that it got where it was packed, and how far another may differ."""

    request: RecordedBody
    reply: RecordedBody
    tolerance: float


@dataclass(frozen=True)
class Description:
    """What an archive is.

    :param transforms: file of ``pre_processing`` and of ``post_processing``; ``None`` is identity.
    :param entry: what TorchServe loads.
    :param packed_with: version of Python and of each distribution that packed it, by name.
    :param modules: for each module that model and transforms need, where a server finds it.
    :param requirements: distributions that a server needs, as pip reads them.
    :param serving: the file with options for the server.
    :param files: every file but ``eisen.json``, by name.
    :param digest: SHA-256 that stands for the whole archive, hexadecimal.
    :param raw: all of it as it stands in the file.
    """

    model: PackedModel
    transforms: Mapping[str, Optional[str]]
    handler: Optional[OwnHandler]
    entry: str
    packed_with: Mapping[str, str]
    modules: Mapping[str, Contents]
    requirements: tuple[str, ...]
    sample: Optional[RecordedSample]
    serving: Optional[str]
    batches: Batches
    files: Mapping[str, ListedFile]
    digest: str
    raw: Contents = field(repr=False)

    @classmethod
    def from_json(cls, raw: Contents) -> Description:
        """Return the values of a text that has been checked."""
        model, own, sample = raw["model"], raw["handler"], raw["sample"]
        lists = {key: tuple(model.get(key, ())) for key in ("keywords", "training")}
        return cls(
            PackedModel(model["name"], model["version"], model["form"], model["file"], **lists),
            raw["transforms"],
            own and OwnHandler(own["file"], own["class"]),
            find_entry(raw),
            raw["packed_with"],
            raw["modules"],
            tuple(raw["requirements"]),
            sample
            and RecordedSample(
                RecordedBody(sample["request"]["file"], sample["request"]["json_size"]),
                RecordedBody(sample["reply"]["file"], sample["reply"]["json_size"]),
                sample["tolerance"],
            ),
            raw["serving"],
            Batches(**raw["batches"]),
            {name: ListedFile(each["sha256"], each["size"]) for name, each in raw["files"].items()},
            raw["digest"],
            raw,
        )

    def payload_files(self) -> Iterator[str]:
        """Yield the files that are unpickled or loaded, and those of the sample."""
        yield self.model.file
        yield from (file for file in self.transforms.values() if file is not None)
        if self.sample is not None:
            yield from (self.sample.request.file, self.sample.reply.file)
