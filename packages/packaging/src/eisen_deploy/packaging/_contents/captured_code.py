"""The code of an archive: what its pickles and its handler need, on its way into the folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from eisen_deploy.packaging import _capture
from eisen_deploy.packaging._arguments.additional_files import copy_extras, find_modules
from eisen_deploy.packaging._arguments.payload import Payload
from eisen_deploy.packaging._capture import Need
from eisen_deploy.packaging._pickles.pickler import PickledByValue
from eisen_deploy.packaging._shared.archive import names, requirements


@dataclass(frozen=True)
class Code:
    """What ``eisen.json`` says of the code.

    :param modules: the decision for each module.
    :param requirements: :pep:`508`, sorted.
    """

    modules: Mapping[str, Mapping[str, str]]
    requirements: list[str]


class Pickled(NamedTuple):
    """One part of the archive that may refer to code.

    :param part: ``"model"``, ``"pre_processing"`` or ``"post_processing"``.
    :param path: its file.
    """

    part: str
    path: Path
    by_value: PickledByValue


def write(payload: Payload, pickled: Iterable[Pickled], folder: Path) -> Code:
    """Copy the user's own code that is needed into a folder, and list what is to be installed.

    :raises UnresolvedCode: with every module that no server would find.
    """
    # The additional files are importable on the server as well.
    given = find_modules([*payload.extras, *payload.code])
    needs: list[Need] = []
    modules: dict[str, dict[str, str]] = {}
    for part, path, by_value in pickled:
        needs += _capture.find_needs_of_pickle(path, part, by_value.codes)
        for name in sorted(by_value.modules):
            modules.setdefault(name, {"decision": "by value", "needed_by": part})
    if payload.handler.file is not None:
        needs += _capture.find_needs_of_handler(*payload.handler.file)
    captured = _capture.capture(needs, given, payload.requirements)
    copy_extras(payload.code, folder / names.CODE_FOLDER)
    for name, source in captured.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(source)
    pinned = _capture.pin_requirements(captured, payload.requirements)
    if pinned:
        (folder / requirements.FILE_NAME).write_bytes(requirements.render(pinned))
    return Code(dict(sorted({**captured.modules, **modules}.items())), pinned)
