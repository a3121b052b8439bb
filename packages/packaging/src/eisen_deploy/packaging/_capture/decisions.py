"""Where a server will find each module that is needed: decided once for each.

==================  ============================================================================
decision            the module
==================  ============================================================================
standard library    is a part of Python
server              comes with what every server has: torch, numpy, TorchServe
archive             travels in every archive: dill, the handler
installed           is installed there as a requirement
captured            is the user's own; its source is copied into the archive
given               was passed as ``code_paths=``, ``additional_files=`` or ``handler=``
by value            is the script, or was made by it; what is needed of it is in the pickles
not found           is not here either, and who imports it says that it can do without
left out            packs archives, and is imported only in functions or not for sure
==================  ============================================================================
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path

from eisen_deploy.packaging._shared.archive import names
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from . import installed, module_search
from .needed_modules import Need, find_needs_of_source

#: Distributions that every server has.
SERVER = ("numpy", "torch", "torchserve")

_OURS = ("_eisen_serving", "dill", "eisen_deploy.serving")
_PACKAGING, _CLIENT = "eisen_deploy.packaging", "eisen_deploy.client"


@dataclass
class Captured:
    """What became of the modules.

    :param modules: by the name of each module or package its ``decision``, who it is
        ``needed_by`` first, and the ``file`` or the ``distribution`` that brings it.
    :param files: sources to copy, by their path in the archive.
    :param distributions: canonical names of the requirements.
    :param problems: one sentence for each module that no server would find.
    """

    modules: dict[str, dict[str, str]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    distributions: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


class Decider:
    """Decides where a server finds each module, and those that captured ones import.

    :param given: modules that the user put into the archive, with their files here.
    :param stated: the user's own requirements by canonical name.
    """

    def __init__(self, given: Mapping[str, Path], stated: Mapping[str, Requirement]) -> None:
        self.captured = Captured(distributions=set(stated))
        self._given = given
        self._stated = stated
        self._waiting: deque[Need] = deque()
        self._done: set[str] = set()
        self._refused: set[str] = set()

    def decide(self, wanted: Iterable[Need]) -> Captured:
        """Decide for these and all that they bring with them."""
        self._waiting.extend(wanted)
        while self._waiting:
            self._decide_one(self._waiting.popleft())
        return self.captured

    def _decide_one(self, need: Need) -> None:
        name = need.module
        top = name.partition(".")[0]
        if _is_below(name, _OURS):
            self._note(top, "archive", need)
        elif top == "ts":
            self._note(top, "server", need)
        elif _is_below(name, (_PACKAGING, _CLIENT)) and self._is_not_for_servers(need):
            self._leave_out(need)
        elif any(_is_below(given, [top]) for given in self._given):
            self._take(need, top)
        else:
            self._search(need)

    def _search(self, need: Need) -> None:
        unit, spec = _find_unit(need.module)
        if spec is None:
            self._handle_missing(need)
            return
        if module_search.is_namespace(spec):
            # It has no code; what is taken from it are its modules.
            inner = (f"{need.module}.{name}" for name in need.names if name != "*")
            self._waiting.extend(need._replace(module=name, names=()) for name in inner)
            return
        owner = installed.find_owner(unit, spec.origin) or self._find_editable_owner(unit, spec)
        if module_search.is_standard(spec) or (owner and unit in sys.stdlib_module_names):
            self._note(unit, "standard library", need)
        elif owner in SERVER:
            self._note(unit, "server", need)
        elif owner:
            self.captured.distributions.add(owner)
            self._note(unit, "installed", need, distribution=owner)
        elif problem := names.hiding_problem(need.module.partition(".")[0], is_folder=True):
            self._refuse(need, problem, "give it another name")
        else:
            self._take(need, unit)

    def _find_editable_owner(self, unit: str, spec: ModuleSpec) -> str | None:
        """Return who owns a module that is installed editable, if that one is a requirement."""
        owner = installed.find_editable_owner(spec.origin)
        return owner if owner in self._stated or _is_below(unit, ["eisen_deploy"]) else None

    def _is_not_for_servers(self, need: Need) -> bool:
        """Whether a part of ours is not meant for servers; a transform may ask another server."""
        part = _PACKAGING if _is_below(need.module, [_PACKAGING]) else _CLIENT
        is_asked_later = part == _CLIENT and (need.optional or need.deferred)
        return canonicalize_name(part.replace(".", "-")) not in self._stated and not is_asked_later

    def _leave_out(self, need: Need) -> None:
        """Leave out what packs, and refuse it where a server would import it at once."""
        if need.optional or need.deferred:
            self._note(need.module, "left out", need)
            return
        spec = module_search.find_spec(need.by.partition(",")[0])
        where = f" ({Path(spec.origin).name})" if spec and spec.origin else ""
        remedy = (
            "import it where it is used, in a function or under if __name__ == '__main__'; or, "
            "if a server is to have it, name its distribution in requirements="
        )
        self._refuse(need._replace(by=need.by + where), "no server has", remedy)

    def _handle_missing(self, need: Need) -> None:
        """Decide for a module that is not here."""
        name = need.module
        stated = canonicalize_name(name.partition(".")[0])
        if stated in self._stated:
            self._note(name, "installed", need, distribution=stated)
        elif need.optional:
            self._note(name, "not found", need)
        elif name in sys.modules:
            why = "was made by the running program, and no file holds it"
            self._refuse(need, why, "put it into a file, or define what you need in the script")
        else:
            why = "is not found here, so it cannot be packed"
            remedy = (
                "install it, pass its distribution in requirements=, or catch ImportError where "
                "it is imported"
            )
            self._refuse(need, why, remedy)

    def _take(self, need: Need, unit: str) -> None:
        """Take a module of the user's own, from the outermost package down, and what it imports."""
        for name in module_search.list_packages(need.module):
            if name.startswith(unit) and not self._take_one(name, need):
                return
        for name in need.names:
            inner = f"{need.module}.{name}"
            if inner in self._given or module_search.find_spec(inner):
                self._take_one(inner, need)

    def _take_one(self, name: str, need: Need) -> bool:
        """Take one module; return whether a module below it can be there."""
        if name in self._done:
            return True
        self._done.add(name)
        if name in self._given:
            path = self._given[name]
            self._note(name, "given", need)
            self._follow(name, path.read_bytes(), path.name == "__init__.py", need)
            return True
        spec = module_search.find_spec(name)
        if spec is None and not any(_is_below(given, [name]) for given in self._given):
            self._handle_missing(need._replace(module=name))
            return False
        if spec is not None and not module_search.is_namespace(spec):
            self._capture(name, spec, need)
        return True

    def _capture(self, name: str, spec: ModuleSpec, need: Need) -> None:
        source = module_search.read_source(spec)
        if source is None:
            why = f"has no source ({Path(spec.origin or 'no file').name})"
            remedy = "install it as a distribution, which then becomes a requirement"
            self._refuse(need._replace(module=name), why, remedy)
            return
        is_package = spec.submodule_search_locations is not None
        tail = "/__init__.py" if is_package else ".py"
        path = f"{names.CODE_FOLDER}/{name.replace('.', '/')}{tail}"
        self.captured.files[path] = source
        self._note(name, "captured", need, file=path)
        self._follow(name, source, is_package, need)

    def _follow(self, name: str, source: bytes, is_package: bool, need: Need) -> None:
        try:
            self._waiting.extend(find_needs_of_source(source, name, is_package=is_package))
        except (SyntaxError, ValueError) as error:
            self._refuse(need._replace(module=name), f"is not Python: {error}", "mend it")

    def _note(self, name: str, decision: str, need: Need, **more: str) -> None:
        about = {"decision": decision, "needed_by": need.by, **more}
        self.captured.modules.setdefault(name, about)

    def _refuse(self, need: Need, why: str, remedy: str) -> None:
        problem = f"{need.by} needs the module {need.module}, which {why}: {remedy}"
        if need.module not in self._refused:
            self.captured.problems.append(problem)
        self._refused.add(need.module)


def _is_below(name: str, above: Iterable[str]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in above)


def _find_unit(module: str) -> tuple[str, ModuleSpec | None]:
    """Return the outermost package above a module that has a file, and where that is."""
    name, spec = module, None
    for name in module_search.list_packages(module):
        spec = module_search.find_spec(name)
        if spec is None or not module_search.is_namespace(spec):
            break
    return name, spec
