"""The globals of code that travels: one dict for each module that they are from, as in the script.

A function that goes by value takes along the globals that its code refers to, and no others. All
functions of one module share the dict that these are put into, whichever file of the archive they
are in: what one rebinds with ``global``, the others see. Where a server can import the module,
the dict is that module's own.
"""

from __future__ import annotations

import dis
import pickle
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType

from eisen_deploy.packaging._capture import installed, module_search

#: What the script's own module is called on a server.
SCRIPT = "_eisen_script"

_GLOBAL_OPS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_SETS = {"STORE_GLOBAL", "DELETE_GLOBAL"}
_NO_STEPS = ("PUSH_NULL", "PRECALL", "CACHE")
_CALLS = ("CALL", "CALL_FUNCTION", "CALL_METHOD")
_LOOKS_UP = ("get", "setdefault", "pop")
_PLAIN = (str, bytes, int, float, complex, bool, type(None))


@dataclass
class Namespace:
    """The globals of one module.

    :param source: the dict that functions have here.
    :param target: what stands for it in the archive: the same if the module goes by name.
    :param module: the one that is made on a server, if the target is the namespace of that.
    :param written: the names that some file of the archive puts into it.
    """

    source: dict[str, object]
    target: dict[str, object]
    module: ModuleType | None = None
    written: set[str] = field(default_factory=set)

    @property
    def is_imported(self) -> bool:
        """Whether a server imports the module."""
        return self.target is self.source

    def take(self, function: FunctionType) -> dict[str, object]:
        """Return the globals that a function refers to and that nothing has taken yet.

        :raises pickle.PicklingError: if it uses globals whose names show only when it runs.
        """
        names = set(_find_global_names(function.__code__))
        if not self.is_imported:
            names |= set(_find_names_in_texts(function, self.source))
        names = (names & set(self.source)) - self.written - {"__builtins__", "__name__"}
        found = {name: self.source[name] for name in sorted(names)}
        if self.is_imported:  # it has them by itself, unless the program has set them meanwhile
            is_own = is_users_file(str(self.source["__name__"]))
            found = {name: value for name, value in found.items() if is_own and _is_plain(value)}
        self.written |= set(found)
        return found

    def take_name(self, obj: FunctionType | type) -> dict[str, object]:
        """Return a function or class that is just made, by the name that its module has for it.

        What is made next, such as its instances, may call code that looks for it.
        """
        name = obj.__name__
        if self.is_imported or self.source.get(name) is not obj:
            return {}
        self.written.add(name)
        return {name: obj}

    def find_reached_submodules(self, function: FunctionType) -> Iterator[ModuleType]:
        """Yield what a function reaches through a package: ``import a.b`` leaves only ``a``."""
        if self.is_imported:
            return
        names = _find_global_names(function.__code__)
        known = (self.source.get(name) for name in names)
        packages = {item.__name__ for item in known if isinstance(item, ModuleType)}
        attributes = {name for code in _walk_codes(function.__code__) for name in code.co_names}
        for name, module in sorted(sys.modules.items()):
            for package in sorted(packages):
                rest = name.removeprefix(f"{package}.")
                is_reached = rest != name and set(rest.split(".")) <= attributes
                if is_reached and type(module) is ModuleType:
                    yield module


def make_namespace(source: dict[str, object], *, is_imported: bool) -> Namespace:
    """Return the namespace that the globals of functions are.

    :param is_imported: whether it is that of the module itself, which a server imports.
    """
    if is_imported:
        return Namespace(source, source)
    module = find_module_with(source)
    if module is None or module_search.is_importable(module.__name__):
        return Namespace(source, {"__name__": source.get("__name__")})
    made = ModuleType(rename_for_server(module.__name__))
    return Namespace(source, vars(made), made)


def rename_for_server(module: str) -> str:
    """Return what the module of something that goes by value is called on a server."""
    return SCRIPT if module == "__main__" else module


def uses_its_module(function: FunctionType) -> bool:
    """Whether a function has to find the very module that it is from, which a server imports."""
    source = function.__globals__
    module = find_module_with(source)
    if module is None or not module_search.is_importable(module.__name__):
        return False
    stored = set(_find_global_names(function.__code__, _SETS))
    used = [source[name] for name in _find_global_names(function.__code__) if name in source]
    return bool(stored) or any(not _is_from_elsewhere(each, module.__name__) for each in used)


def _is_from_elsewhere(value: object, module: str) -> bool:
    if isinstance(value, (type, FunctionType)):
        return value.__module__ != module
    return isinstance(value, (ModuleType, BuiltinFunctionType))


def find_module_with(found: Mapping[str, object]) -> ModuleType | None:
    """Return the module whose namespace a dict is."""
    name = found.get("__name__")
    module = sys.modules.get(name) if isinstance(name, str) else None
    return module if isinstance(module, ModuleType) and vars(module) is found else None


def uses_name(code: CodeType, name: str) -> bool:
    """Whether code, or code inside it, has a name as a global or an attribute."""
    return any(name in inner.co_names for inner in _walk_codes(code))


def is_users_file(module: str) -> bool:
    """Whether a module is one of the user's own files that can be imported."""
    spec = module_search.find_spec(module)
    return (
        spec is not None
        and not module_search.is_standard(spec)
        and not installed.find_owner(module, spec.origin)
        and not installed.find_editable_owner(spec.origin)
    )


def _is_plain(value: object) -> bool:
    if type(value) is tuple:
        return all(_is_plain(item) for item in value)
    return type(value) in _PLAIN


def _find_global_names(code: CodeType, operations: Collection[str] = _GLOBAL_OPS) -> Iterator[str]:
    for each in _walk_codes(code):
        for step in dis.get_instructions(each):
            if step.opname in operations:
                yield step.argval


def _find_names_in_texts(function: FunctionType, known: Mapping[str, object]) -> Iterator[str]:
    """Yield what ``globals()["NAME"]`` takes, and refuse names that show only at run time."""
    if "globals" not in known:
        for name in _find_uses_of_globals(function.__code__):
            if name is None:
                raise pickle.PicklingError(
                    f"{function.__qualname__} uses globals() with names that show only when it "
                    "runs, so nobody knows which have to travel: keep them in a dict of your own"
                )
            yield name
    code = function.__code__
    if uses_name(code, "modules") and "__name__" in _find_global_names(code):
        raise pickle.PicklingError(
            f"{function.__qualname__} uses its own module through sys.modules[__name__], which is "
            "another one on a server: keep what it takes from there in a dict of your own"
        )


def _find_uses_of_globals(code: CodeType) -> Iterator[str | None]:
    """Yield for each use of ``globals()`` the name it is used with; ``None`` without a constant."""
    for inner in _walk_codes(code):
        steps = [each for each in dis.get_instructions(inner) if each.opname not in _NO_STEPS]
        for index, step in enumerate(steps):
            if step.opname in _GLOBAL_OPS and step.argval == "globals":
                name = _find_loaded_name(steps[index - 1], steps[index + 2 :])
                yield name.argval if name is not None and isinstance(name.argval, str) else None


def _find_loaded_name(
    before: dis.Instruction, after: list[dis.Instruction]
) -> dis.Instruction | None:
    """Return what loads the name in ``globals()[NAME]``, ``globals().get(NAME)`` and the like."""
    first, second, third, fourth = (*after, *[None] * 4)[:4]
    if first is None or second is None:
        return None
    found = None
    if first.opname == "CONTAINS_OP":
        found = before
    elif second.opname.endswith("_SUBSCR"):
        found = first
    elif first.argval in _LOOKS_UP and third is not None:
        is_call = third.opname in _CALLS or (fourth is not None and fourth.opname in _CALLS)
        found = second if is_call else None
    return found if found is not None and found.opname == "LOAD_CONST" else None


def _walk_codes(code: CodeType) -> Iterator[CodeType]:
    """Yield code, and that of all functions and classes inside of it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _walk_codes(constant)
