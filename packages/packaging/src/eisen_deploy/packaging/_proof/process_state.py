"""What this process has and a fresh one does not, as far as it can be seen by looking.

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


def find_changed_modules(states: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Name what of the user's modules is not as a fresh import makes it.

    :param states: of the modules there, as :func:`.clean_process.read_states` gives them.
    """
    here = clean_process.read_states(states)
    for module, names in here.items():
        for name, value in names.items():
            if states[module].get(name, value) != value:
                yield f"{module}.{name} is not what it is after importing {module}"


def find_replaced_functions() -> Iterator[str]:
    """Name functions of libraries that the user has replaced."""
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and not is_user_code(name):
            yield from _find_replaced(name, vars(module), 1)


def _find_replaced(where: str, named: Mapping[str, object], depth: int) -> Iterator[str]:
    for name, value in list(named.items()):
        kind = type(value)  # isinstance would wake up what warns when it is used
        if kind is FunctionType and is_user_code(value.__module__ or ""):
            yield f"{where}.{name} is a function of {value.__module__} here"
        elif depth and issubclass(kind, type) and value.__module__ == where:
            yield from _find_replaced(f"{where}.{name}", vars(value), depth - 1)


def find_changed_settings() -> Iterator[str]:
    """Name settings of torch that the user has changed."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if torch.get_default_dtype() != torch.float32:
        yield f"torch.set_default_dtype was called here ({torch.get_default_dtype()})"
    if any(getattr(torch.nn.modules.module, name, None) for name in _HOOKS):
        yield "hooks on all modules are registered here (torch.nn.modules.module)"


def find_used_variables(variables: Mapping[str, str]) -> Iterator[str]:
    """Name environment variables that the user's code looked for in vain, and that are set here.

    :param variables: by name, each with the module that looked for it.
    """
    for name, module in variables.items():
        if is_user_code(module) and name in os.environ:
            yield explain_variable(name)


def explain_variable(name: str) -> str:
    """Explain why the use of an environment variable fails."""
    return (
        f"{name} is an environment variable here, and no server has it: keep its value in the "
        "model or the transform"
    )


def is_user_code(module: str) -> bool:
    """Whether a module is code of the user: also what was pickled by value."""
    top = module.partition(".")[0]
    return bool(top) and (
        top in ("__main__", SCRIPT)
        or not (top in sys.stdlib_module_names or top in _OURS or installed.has_owner(top))
    )
