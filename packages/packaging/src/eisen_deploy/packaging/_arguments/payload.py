"""What an archive is made of: the arguments of ``EisenServingMAR`` and of ``pack``, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from packaging.requirements import Requirement

from .additional_files import Extra
from .handlers import Handler
from .model_forms import Form


@dataclass(frozen=True)
class Payload:
    """What an archive is made of; every argument has been checked.

    :param transforms: ``pre_processing`` and ``post_processing``, each ``None`` for identity.
    :param meta_data: JSON text.
    :param extras: the ``additional_files``.
    :param code: the ``code_paths``.
    :param requirements: what the user says of requirements, by canonical name.
    :param sample: a request's inputs by name, to be recorded with the reply that they get.
    :param tolerance: by which another reply may differ from that one.
    :param keywords: the model's inputs that it takes by name.
    """

    name: str
    version: str
    model: Any
    form: Form
    transforms: Mapping[str, Any]
    meta_data: bytes
    handler: Handler
    extras: list[Extra]
    code: list[Extra]
    requirements: Mapping[str, Requirement]
    serving: Mapping[str, Any] | None
    sample: Mapping[str, Any] | None
    tolerance: float
    keywords: Sequence[str] = ()
