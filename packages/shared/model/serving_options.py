"""Serving options: what a model asks of its server.

:class:`ServingOptions` has one field for each option that a user gives in a dict. An archive keeps
them in ``model-config.yaml``. TorchServe reads its own settings there, and the handler the section
``eisen``. The file is JSON text, which is YAML as well, so both can read it::

    {
     "minWorkers": 2,
     "maxWorkers": 2,
     "batchSize": 8,
     "deviceType": "gpu",
     "eisen": {"device": "cuda", "precision": "float16", "compile": false, "self_test": true}
    }

Names, units and limits of the server's part: TorchServe 0.12, ``ModelConfig.build`` and
``ModelManager.createModel``. It takes a 0 for *not given*, and ignores with a warning what is not a
Java ``int``.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Optional, Union

from ..errors import CorruptArchive
from ..wire import strict_json

FILE_NAME = "model-config.yaml"
SECTION = "eisen"

_MAX_INT = 2**31 - 1
_DEVICE_TYPES = {"cpu": "cpu", "cuda": "gpu"}


@dataclass(frozen=True)
class ServingOptions:
    """The options by name, each with its default; ``None`` leaves the decision to the server.

    :param workers: processes with a copy of the model.
    :param batch_size: the most requests that are handed over together.
    :param batch_delay: the longest wait for a batch to fill, in milliseconds.
    :param response_timeout: seconds that an answer may take.
    :param startup_timeout: seconds that loading may take.
    :param device: ``auto``, the GPU that the server assigns or else the CPU; ``cpu``; or ``cuda``,
        the GPU that the server assigns and nothing else.
    :param precision: ``float32``, the module's own type; ``float16`` or ``bfloat16``, autocast.
    :param compile: whether, or in which mode, ``torch.compile`` is applied.
    :param self_test: whether the archive's sample is predicted while the model loads.
    :param threads: of torch, for one operator, in each worker; ``None``: the cores of the machine,
        shared among the workers of the model.
    """

    workers: Optional[int] = None
    batch_size: Optional[int] = None
    batch_delay: Optional[int] = None
    response_timeout: Optional[int] = None
    startup_timeout: Optional[int] = None
    device: str = "auto"
    precision: str = "float32"
    compile: Union[bool, str] = False
    self_test: bool = True
    threads: Optional[int] = None

    def list_changed(self, *names: str) -> list[str]:
        """Return those of these options that are not at their default."""
        defaults = ServingOptions()
        return [name for name in names if getattr(self, name) != getattr(defaults, name)]


@dataclass(frozen=True)
class _Rule:
    """Which values an option takes, and under which names TorchServe looks for it."""

    expected: str
    takes: Callable[[object], bool]
    server_names: tuple[str, ...] = ()


def _integer(least: int, *server_names: str) -> _Rule:
    return _Rule(
        f"an integer from {least} to {_MAX_INT}",
        lambda value: type(value) is int and least <= value <= _MAX_INT,
        server_names,
    )


def _one_of(*choices: Union[bool, str]) -> _Rule:
    def takes(value: object) -> bool:  # 1 does not count as True
        return any(type(value) is type(choice) and value == choice for choice in choices)

    return _Rule(f"one of {', '.join(map(repr, choices))}", takes)


_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
_RULES = {
    "workers": _integer(1, "minWorkers", "maxWorkers"),
    "batch_size": _integer(1, "batchSize"),
    "batch_delay": _integer(0, "maxBatchDelay"),
    "response_timeout": _integer(1, "responseTimeout"),
    "startup_timeout": _integer(1, "startupTimeout"),
    "device": _one_of("auto", "cpu", "cuda"),
    "precision": _one_of("float32", "float16", "bfloat16"),
    "compile": _one_of(False, True, *_MODES),
    "self_test": _one_of(False, True),
    "threads": _integer(1),
}


def find_problems(serving: object) -> list[str]:
    """Return one sentence for each thing that is wrong with a dict of options."""
    if not isinstance(serving, Mapping):
        return [f"serving: expected a dict, got {type(serving).__name__}"]
    names = [field.name for field in fields(ServingOptions)]
    problems = []
    for name, value in serving.items():
        if name not in names:
            close = difflib.get_close_matches(str(name)[:80], names, n=1)
            hint = f"did you mean {close[0]}?" if close else f"the options are {', '.join(names)}"
            problems.append(f"serving: {name!r:.80} is not an option, {hint}")
        elif not _RULES[name].takes(value):
            is_plain = value is None or isinstance(value, (bool, int, float, str))
            got = repr(value)[:80] if is_plain else type(value).__name__
            problems.append(f"serving.{name}: expected {_RULES[name].expected}, got {got}")
    return problems


def to_config(options: ServingOptions) -> dict[str, object]:
    """Return the content of ``model-config.yaml``; defaults of the server are left to it."""
    config: dict[str, object] = {}
    section: dict[str, object] = {}
    for name, value in asdict(options).items():
        rule = _RULES[name]
        if value is None:
            continue
        if not rule.server_names:
            section[name] = value
        else:
            # Only the delay may be 0, for which TorchServe would take its default of 100 ms.
            config.update(dict.fromkeys(rule.server_names, max(1, value)))
    if options.device in _DEVICE_TYPES:
        config["deviceType"] = _DEVICE_TYPES[options.device]
    return {**config, SECTION: section}


def from_config(config: Mapping[str, object]) -> ServingOptions:
    """Return the options that a ``model-config.yaml`` holds.

    :param config: its parsed text.
    :raises CorruptArchive: if it is not one that :func:`to_config` gives.
    """
    given = dict(section) if isinstance(section := config.get(SECTION), Mapping) else {}
    for name, rule in _RULES.items():
        for server_name in rule.server_names:
            if server_name in config:
                given[name] = config[server_name]
    problems = find_problems(given)
    if problems:
        raise CorruptArchive(f"{FILE_NAME}: {problem}" for problem in problems)
    options = ServingOptions(**given)
    if to_config(options) != config:
        raise CorruptArchive(f"{FILE_NAME} holds other keys or values than packaging writes")
    return options


def render(options: ServingOptions) -> bytes:
    """Return the text of ``model-config.yaml``; the same options always give the same text."""
    return (json.dumps(to_config(options), indent=1) + "\n").encode()


def read(raw: bytes) -> ServingOptions:
    """Return the options that a ``model-config.yaml`` holds.

    :raises ContractError: if it is not a text that packaging writes.
    """
    return from_config(strict_json.loads_object(raw, FILE_NAME))
