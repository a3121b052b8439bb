"""The code of an archive: what its pickles and its handler need, on its way into the folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from eisen_deploy.packaging import _capture
from eisen_deploy.packaging._arguments.additional_files import Extra, copy_extras, find_modules
from eisen_deploy.packaging._arguments.handler_argument import Handler
from eisen_deploy.packaging._capture import Need
from eisen_deploy.packaging._pickles.pickler import PickledByValue
from eisen_deploy.packaging._shared.archive import names, requirements
from packaging.requirements import Requirement


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


def write(
    pickled: Iterable[Pickled],
    folder: Path,
    *,
    handler: Handler,
    extras: list[Extra],
    code_paths: list[Extra],
    stated: Mapping[str, Requirement],
) -> Code:
    """Copy the user's own code that is needed into a folder, and list what is to be installed.

    :param extras: the ``additional_files``, which are importable on the server as well.
    :param code_paths: what is copied whole.
    :param stated: the user's requirements by canonical name.
    :raises UnresolvedCode: with every module that no server would find.
    """
    given = {**find_modules(extras), **find_modules(code_paths)}
    needs: list[Need] = []
    modules: dict[str, dict[str, str]] = {}
    for part, path, by_value in pickled:
        needs += _capture.find_needs_of_pickle(path, part, by_value.codes)
        for name in sorted(by_value.modules):
            modules.setdefault(name, {"decision": "by value", "needed_by": part})
    if handler.file is not None:
        needs += _capture.find_needs_of_handler(*handler.file)
    captured = _capture.capture(needs, given, stated)
    copy_extras(code_paths, folder / names.CODE_FOLDER)
    _write_sources(captured.files, folder)
    pinned = _capture.pin_requirements(captured, stated)
    if pinned:
        (folder / requirements.FILE_NAME).write_bytes(requirements.render(pinned))
    return Code(dict(sorted({**captured.modules, **modules}.items())), pinned)


def _write_sources(sources: Mapping[str, bytes], folder: Path) -> None:
    for name, source in sources.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source)
