"""Checks of the file itself: how it is read, and whether its names and values are valid."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from eisen_deploy.serving.doctor.facts.gathering import Facts
from eisen_deploy.serving.doctor.findings import Area, Found
from eisen_deploy.serving.engines.torchserve.settings.known_properties import (
    MAX_INT,
    MAX_LONG,
    PROPERTIES,
    parse_address,
    parse_java_int,
    parse_object,
)
from eisen_deploy.serving.runtime.torchserve.server_config import REFERENCE

AREA: Area[Facts] = Area()

# Read from the environment whatever the file says.
_ALWAYS = ("TS_CONFIG_FILE", "TS_MODEL_SERVER_HOME", "TS_OPEN_INFERENCE_PROTOCOL")


@AREA.error(
    "Java refuses the file, and TorchServe ends at its start.",
    "write a backslash as \\\\, and \\u only before four hexadecimal digits",
)
def escape_broken(facts: Facts) -> Iterator[Found]:
    """Find a backslash and u without four digits behind it, as in a Windows path."""
    yield from map(Found, facts.properties.parsed.problems)


@AREA.warning(
    "TorchServe ignores it without a word; what it was meant to set keeps its default.", "{remedy}"
)
def property_unknown(facts: Facts) -> Iterator[Found]:
    """Find a name that TorchServe 0.12 does not have."""
    for entry in facts.properties.parsed.entries:
        if entry.name in PROPERTIES:
            continue
        close = difflib.get_close_matches(entry.name, PROPERTIES, n=1)
        hint = f", did you mean {close[0]}?" if close else ""
        value = "..." if close == ["keystore_pass"] else entry.value
        remedy = f"{close[0]}={value}" if close else f"remove {entry.name}"
        yield Found(f"line {entry.line}: {entry.name} is not a property{hint}", remedy=remedy)


@AREA.error(
    "TorchServe ends at its start with a Java exception (Invalid configuration).",
    "{name}={example}",
)
def value_no_number(facts: Facts) -> Iterator[Found]:
    """Find a number that Java refuses: one with a blank, a unit or a comment, or too large."""
    for kind, limit in (("int", MAX_INT), ("long", MAX_LONG)):
        for name, value in facts.properties.of_kind(kind):
            if parse_java_int(value, limit) is None:
                digits = re.sub(r"\s*[+-]?([0-9]*).*", r"\1", value, flags=re.DOTALL)
                example = min(int(digits or PROPERTIES[name].default or 0), limit)
                what = f"expected an integer up to {limit} and nothing behind it"
                yield Found(f"{name}: {what}, got {value!r}", name=name, example=example)


@AREA.warning(
    "Java reads everything but the word true as false.",
    "{name}=true or {name}=false, with nothing behind it",
)
def value_no_boolean(facts: Facts) -> Iterator[Found]:
    """Find a switch that is neither ``true`` nor ``false``."""
    for name, value in facts.properties.of_kind("bool"):
        if value.lower() not in ("true", "false"):
            yield Found(f"{name}: expected true or false, got {value!r}", name=name)


@AREA.error(
    "TorchServe ends at its start with a Java exception.",
    "models={{}}, or a JSON object in one line",
)
def value_no_json(facts: Facts) -> Iterator[Found]:
    """Find ``models`` or ``model_snapshot`` that is not a JSON object."""
    for name, value in facts.properties.of_kind("json"):
        if parse_object(value) is None:
            yield Found(f"{name} is not a JSON object")


@AREA.error(
    "TorchServe ends at its start: Invalid binding address.", "{name}=http://127.0.0.1:{port}"
)
def address_invalid(facts: Facts) -> Iterator[Found]:
    """Find an address with a path, a slash at its end, IPv6, or no scheme."""
    for name, value in facts.properties.of_kind("address"):
        if parse_address(name, value) is None:
            port = (PROPERTIES[name].default or "").rpartition(":")[2]
            expected = "expected http://HOST:PORT, https://HOST:PORT or unix:/PATH"
            yield Found(f"{name}: {expected}, got {value!r}", name=name, port=port)


@AREA.error(
    "TorchServe ends at its start: Invalid Environment Variable.", "export {variable}=VALUE"
)
def variable_missing(facts: Facts) -> Iterator[Found]:
    """Find a value with ``$$NAME$$``, and no such variable in the environment."""
    for entry in facts.properties.parsed.entries:
        for variable in REFERENCE.findall(entry.value):
            if variable not in facts.properties.environment:
                what = f"line {entry.line}: {entry.name} names ${variable}, which is not set"
                yield Found(what, variable=variable)


@AREA.warning(
    "TorchServe reads the rest of the file, but Java starts without them.",
    "torchserve --start --ncs --ts-config {path} ...  (or export TS_CONFIG_FILE={path})",
)
def vmargs_not_read(facts: Facts) -> Iterator[Found]:
    """Find ``vmargs`` in a ``config.properties`` that is not given by name."""
    if "vmargs" in facts.properties.launcher and not facts.properties.read_by_launcher:
        what = "vmargs are set, and torchserve is started without --ts-config"
        yield Found(what, path=facts.properties.path)


@AREA.warning(
    "Without --ncs, TorchServe takes the last of them, its models and limits, and not this file.",
    "torchserve --start --ncs ...  (or --ts-config config.properties)",
)
def snapshot_overrides(facts: Facts) -> Iterator[Found]:
    """Find snapshots of an earlier run below ``logs/config``."""
    own = facts.properties
    logs = own.folder / own.environment.get("LOG_LOCATION", "logs")
    count = len(list((logs / "config").glob("*.cfg")))
    if count and not own.read_by_launcher:  # a file that is named comes before them
        yield Found(f"{count} snapshots in {logs / 'config'}")


@AREA.warning(
    "TorchServe does not look at it.", "enable_envvars_config=true  (or set {name} in the file)"
)
def environment_ignored(facts: Facts) -> Iterator[Found]:
    """Find variables ``TS_...`` without ``enable_envvars_config``."""
    if facts.properties.flag("enable_envvars_config"):
        return
    for name, known in PROPERTIES.items():
        if known.variable in facts.properties.environment and known.variable not in _ALWAYS:
            what = f"{known.variable} is set, and enable_envvars_config is not true"
            yield Found(what, name=name)


@AREA.error(
    "Every request and the loading of every model end at once, and kill the worker.",
    "{name}={example}",
)
def timeout_not_positive(facts: Facts) -> Iterator[Found]:
    """Find a timeout of 0 or less, which does not mean that there is none."""
    for name in ("default_response_timeout", "default_startup_timeout", "unregister_model_timeout"):
        value = facts.properties.number(name)
        if value <= 0:
            yield Found(f"{name} is {value} s", name=name, example=PROPERTIES[name].default)
