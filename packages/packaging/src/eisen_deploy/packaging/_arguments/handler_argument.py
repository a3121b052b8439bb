"""``handler``, which answers the requests: ours, a subclass of it, or one of TorchServe's.

==============================  ====================  ============================
``handler=``                    ``entry``: manifest   ``handler`` in ``eisen.json``
==============================  ====================  ============================
``None``                        ours                  null
file with a subclass of ours    ours                  ``{"file": ..., "class": ...}``
another Python file             the file              null
a name of TorchServe's          the name              null
==============================  ====================  ============================

A subclass is found by reading the file, not by running it: it may need what only the server has.
"""

from __future__ import annotations

import ast
import os
from dataclasses import dataclass
from pathlib import Path

from eisen_deploy.packaging._errors import InvalidHandler
from eisen_deploy.packaging._shared.archive import names
from eisen_deploy.packaging._shared.archive.allowed_values import ENTRY, TORCHSERVE_HANDLERS

_BASE = "EisenServingHandler"


@dataclass(frozen=True)
class Handler:
    """A handler as an archive names it.

    :param entry: what TorchServe loads, as the manifest says.
    :param file: name and content of the user's file, if it is one.
    :param subclass: the class in that file, if it is a subclass of ours.
    """

    entry: str = ENTRY
    file: tuple[str, bytes] | None = None
    subclass: str | None = None

    @property
    def is_ours(self) -> bool:
        """Whether it is :class:`EisenServingHandler` or a subclass of it."""
        return self.entry == ENTRY

    @property
    def about(self) -> dict[str, str] | None:
        """What ``eisen.json`` says of it."""
        if self.file is None or self.subclass is None:
            return None
        return {"file": self.file[0], "class": self.subclass}


def find_handler(handler: str | os.PathLike[str] | None) -> Handler:
    """Return the handler that a user means by the argument ``handler``.

    :param handler: ``None``, the path of a Python file, or the name of a handler of TorchServe.
    :raises InvalidHandler: if it is something else, or the file cannot be a handler.
    """
    if handler is None:
        return Handler()
    if isinstance(handler, str) and handler in TORCHSERVE_HANDLERS:
        return Handler(entry=handler)
    if not isinstance(handler, (str, os.PathLike)):
        raise InvalidHandler(_explain_refusal(type(handler).__name__))
    path = Path(handler)
    if path.suffix != ".py" or not path.is_file():
        raise InvalidHandler(_explain_refusal(repr(os.fspath(handler))))
    return _read_file(path)


def _explain_refusal(got: str) -> str:
    return (
        "handler: expected the path of an existing .py file or one of "
        f"{', '.join(TORCHSERVE_HANDLERS)}, got {got}"
    )


def _read_file(path: Path) -> Handler:
    if problem := names.handler_file_problem(path.name):
        raise InvalidHandler(f"handler: {path.name} {problem}: rename it")
    try:
        content = path.read_bytes()
        tree = ast.parse(content, path.name)
    except OSError as error:
        raise InvalidHandler(f"handler: {path} cannot be read: {error.strerror}") from error
    except (SyntaxError, ValueError) as error:
        raise InvalidHandler(f"handler: {path.name} is not Python: {error}") from error
    classes = _find_subclasses(tree)
    if len(classes) > 1:
        raise InvalidHandler(
            f"handler: {path.name} has {len(classes)} subclasses of {_BASE} "
            f"({', '.join(classes)}), and only one can be the handler"
        )
    if not classes:
        return Handler(entry=path.name, file=(path.name, content))
    return Handler(file=(path.name, content), subclass=classes[0])


def _find_subclasses(tree: ast.Module) -> list[str]:
    """Return the classes that derive from ours and that no other such class derives from."""
    bases = {_BASE} | {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == _BASE
    }
    found: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            # C of a base class that is written C or module.C
            named = {getattr(base, "attr", getattr(base, "id", None)) for base in node.bases}
            if named & {*bases, *found}:
                found = [name for name in found if name not in named] + [node.name]
    return found
