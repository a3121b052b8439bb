"""What this process has and a fresh one has not, as far as it can be seen by looking.

When an archive gives other outputs in a clean process, these are the likely causes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from types import FunctionType, ModuleType

from eisen_deploy.packaging._capture import installed
from eisen_deploy.packaging._pickles.script_globals import SCRIPT

from . import clean_process

_OURS = ("_eisen_serving", "dill", "eisen_deploy")
_HOOKS = ("_global_forward_hooks", "_global_forward_pre_hooks")


def in_modules(states: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Name what of the user's modules is not as a fresh import makes it.

    :param states: of the modules there, as :func:`.clean_process.states_of` gives them.
    """
    here = clean_process.states_of(states)
    for module, names in here.items():
        for name, value in names.items():
            if states[module].get(name, value) != value:
                yield f"{module}.{name} is not what it is after importing {module}"


def in_libraries() -> Iterator[str]:
    """Name functions of libraries that the user has replaced by his own."""
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and not is_users(name):
            yield from _replaced(name, vars(module), 1)


def _replaced(where: str, named: Mapping[str, object], depth: int) -> Iterator[str]:
    for name, value in list(named.items()):
        kind = type(value)  # isinstance would wake up what warns when it is used
        if kind is FunctionType and is_users(value.__module__ or ""):
            yield f"{where}.{name} is a function of {value.__module__} here"
        elif depth and issubclass(kind, type) and value.__module__ == where:
            yield from _replaced(f"{where}.{name}", vars(value), depth - 1)


def in_torch() -> Iterator[str]:
    """Name settings of torch that the user has changed."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if torch.get_default_dtype() != torch.float32:
        yield f"torch.set_default_dtype was called here ({torch.get_default_dtype()})"
    if any(getattr(torch.nn.modules.module, name, None) for name in _HOOKS):
        yield "hooks on all modules are registered here (torch.nn.modules.module)"


def in_environment(variables: Mapping[str, str]) -> Iterator[str]:
    """Name environment variables that the user's code looked for in vain, and that are set here.

    :param variables: by name, each with the module that looked for it.
    """
    for name, module in variables.items():
        if is_users(module) and name in os.environ:
            yield of_variable(name)


def of_variable(name: str) -> str:
    """Say what is wrong with the use of an environment variable."""
    return (
        f"{name} is an environment variable here, and no server has it: keep its value in the "
        "model or the transform"
    )


def is_users(module: str) -> bool:
    """Whether a module is code of the user: also what was pickled by value."""
    top = module.partition(".")[0]
    return bool(top) and (
        top in ("__main__", SCRIPT)
        or not (top in sys.stdlib_module_names or top in _OURS or installed.has_owner(top))
    )
