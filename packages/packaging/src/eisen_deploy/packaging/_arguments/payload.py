"""What an archive is made of: the arguments of ``EisenServingMAR`` and of ``pack``, parsed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from eisen_deploy.packaging._shared.model.metadata import Metadata
from eisen_deploy.packaging._shared.model.serving_options import ServingOptions
from eisen_deploy.packaging._shared.wire.messages import Body
from packaging.requirements import Requirement

from .additional_files import Extra
from .handler_argument import Handler
from .model_argument import ModelArgument

Transform = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class Payload:
    """What an archive is made of; nobody has to check any of it again.

    :param transforms: ``pre_processing`` and ``post_processing``, each ``None`` for identity.
    :param metadata_text: ``metadata.json``.
    :param metadata: what that text declares.
    :param extras: the ``additional_files``.
    :param code: the ``code_paths``.
    :param requirements: what the user says of requirements, by canonical name.
    :param serving: the options for the server; ``None`` if there are none to record.
    :param sample: the request to be recorded with the reply that it gets.
    :param tolerance: by which another reply may differ from that one.
    """

    name: str
    version: str
    model: ModelArgument
    transforms: Mapping[str, Transform | None]
    metadata_text: bytes
    metadata: Metadata
    handler: Handler
    extras: list[Extra]
    code: list[Extra]
    requirements: Mapping[str, Requirement]
    serving: ServingOptions | None
    sample: Body | None
    tolerance: float

    @property
    def gpu_id(self) -> int | None:
        """The number of the GPU to prove the sample on, or ``None``.

        It is the one that the model lies on; the first, where the model asks the server for one.
        """
        if self.model.device.type == "cuda":
            return self.model.device.index
        return 0 if self.serving is not None and self.serving.device == "cuda" else None
