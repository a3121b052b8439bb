"""Checks of the file itself: how it is read, and whether its names and values are any."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from itertools import groupby

from .configuration import VARIABLE, as_java_int, parse_address
from .facts import Facts
from .findings import ERROR, WARNING, Area, Found
from .known_properties import MAX_INT, MAX_LONG, PROPERTIES

AREA: Area[Facts] = Area()

_LAUNCHER = ("vmargs", "plugins_path", "model_store")
# Read from the environment whatever the file says.
_ALWAYS = ("TS_CONFIG_FILE", "TS_MODEL_SERVER_HOME", "TS_OPEN_INFERENCE_PROTOCOL")


@AREA.check(
    ERROR,
    effect="Java refuses the file, and TorchServe ends at its start.",
    remedy="write a backslash as \\\\, and \\u only before four hexadecimal digits",
)
def escape_broken(facts: Facts) -> Iterator[Found]:
    """Find a backslash and u without four digits behind it, as in a Windows path."""
    yield from map(Found, facts.configuration.parsed.problems)


@AREA.check(
    WARNING,
    effect="TorchServe says nothing and ignores it; what it was meant to set stays as it comes.",
    remedy="{remedy}",
)
def property_unknown(facts: Facts) -> Iterator[Found]:
    """Find a name that TorchServe 0.12 does not have."""
    for entry in facts.configuration.parsed.entries:
        if entry.name in PROPERTIES:
            continue
        close = difflib.get_close_matches(entry.name, PROPERTIES, n=1)
        hint = f", did you mean {close[0]}?" if close else ""
        value = "..." if close == ["keystore_pass"] else entry.value
        remedy = f"{close[0]}={value}" if close else f"remove {entry.name}"
        yield Found(f"line {entry.line}: {entry.name} is no property{hint}", remedy=remedy)


@AREA.check(
    WARNING,
    effect="The last one counts, for Java and for the launcher.",
    remedy="remove all lines with {name} but one",
)
def property_twice(facts: Facts) -> Iterator[Found]:
    """Find a name that is set more than once, to different values."""
    entries = sorted(facts.configuration.parsed.entries, key=lambda entry: entry.name)
    for name, group in groupby(entries, key=lambda entry: entry.name):
        same = list(group)
        if len({entry.value for entry in same}) > 1:
            lines = ", ".join(str(entry.line) for entry in same)
            yield Found(f"{name} is set in lines {lines}", name=name)


@AREA.check(
    ERROR,
    effect="TorchServe ends at its start with a Java exception (Invalid configuration).",
    remedy="{name}={example}",
)
def value_no_number(facts: Facts) -> Iterator[Found]:
    """Find a number that Java refuses: one with a blank, a unit or a comment, or too large."""
    limits = {"int": MAX_INT, "long": MAX_LONG}
    for name, value in facts.configuration.values.items():
        kind = PROPERTIES[name].kind if name in PROPERTIES else ""
        bare = value.strip().lstrip("+-")
        whole = bare.isascii() and bare.isdigit() and value == value.strip()
        if kind not in limits or (whole and int(bare) <= limits[kind]):
            continue
        digits = bare[: len(bare) - len(bare.lstrip("0123456789"))]
        example = min(int(digits or PROPERTIES[name].default or 0), limits[kind])
        what = f"expected an integer up to {limits[kind]} and nothing behind it"
        yield Found(f"{name}: {what}, came {value!r}", name=name, example=example)


@AREA.check(
    WARNING,
    effect="Java reads everything but the word true as false.",
    remedy="{name}=true or {name}=false, with nothing behind it",
)
def value_no_boolean(facts: Facts) -> Iterator[Found]:
    """Find a switch that is neither ``true`` nor ``false``."""
    for name, value in facts.configuration.values.items():
        known = PROPERTIES.get(name)
        if known and known.kind == "bool" and value.lower() not in ("true", "false"):
            yield Found(f"{name}: expected true or false, came {value!r}", name=name)


@AREA.check(
    ERROR,
    effect="TorchServe ends at its start with a Java exception.",
    remedy="models={{}}, or a JSON object in one line",
)
def value_no_json(facts: Facts) -> Iterator[Found]:
    """Find ``models`` or ``model_snapshot`` that is no JSON object."""
    for name, value in facts.configuration.values.items():
        if name in PROPERTIES and PROPERTIES[name].kind == "json" and not _is_object(value):
            yield Found(f"{name} is no JSON object")


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


@AREA.check(
    ERROR,
    effect="TorchServe ends at its start: Invalid binding address.",
    remedy="{name}=http://127.0.0.1:{port}",
)
def address_invalid(facts: Facts) -> Iterator[Found]:
    """Find an address with a path, a slash at its end, IPv6, or no scheme."""
    for name, known in PROPERTIES.items():
        value = facts.configuration.text(name) or ""
        if known.kind == "address" and parse_address(name, value) is None:
            port = (known.default or "").rpartition(":")[2]
            expected = "expected http://HOST:PORT, https://HOST:PORT or unix:/PATH"
            yield Found(f"{name}: {expected}, came {value!r}", name=name, port=port)


@AREA.check(
    ERROR,
    effect="TorchServe ends at its start: Invalid Environment Variable.",
    remedy="export {variable}=VALUE",
)
def variable_missing(facts: Facts) -> Iterator[Found]:
    """Find a value with ``$$NAME$$``, and no such variable in the environment."""
    for entry in facts.configuration.parsed.entries:
        for variable in VARIABLE.findall(entry.value):
            if variable not in facts.environment:
                what = f"line {entry.line}: {entry.name} names ${variable}, which is not set"
                yield Found(what, variable=variable)


@AREA.check(
    WARNING,
    effect="The launcher, which starts Java, has one value, and TorchServe another.",
    remedy="{name}=... in one line, with an equals sign and without escapes",
)
def launcher_reads_otherwise(facts: Facts) -> Iterator[Found]:
    """Find a property that the launcher reads too, and reads otherwise than Java."""
    java, launcher = facts.configuration.parsed.values, facts.configuration.launcher
    for name in _LAUNCHER:
        if (java.get(name) or "").strip() != launcher.get(name, ""):
            what = f"{name} is {launcher.get(name)!r} for the launcher and {java.get(name)!r}"
            yield Found(f"{what} for Java", name=name)


@AREA.check(
    WARNING,
    effect="The launcher parts vmargs at blanks, so Java gets pieces with quotation marks.",
    remedy="vmargs=... without quotation marks, and no argument with a blank in it",
)
def vmargs_quoted(facts: Facts) -> Iterator[Found]:
    """Find quotation marks in ``vmargs``."""
    value = facts.configuration.launcher.get("vmargs", "")
    if "'" in value or '"' in value:
        yield Found("vmargs has quotation marks")


@AREA.check(
    WARNING,
    effect="TorchServe reads the rest of the file, but Java starts without them.",
    remedy="torchserve --start --ncs --ts-config {path} ...  (or export TS_CONFIG_FILE={path})",
)
def vmargs_not_read(facts: Facts) -> Iterator[Found]:
    """Find ``vmargs`` in a ``config.properties`` that is not given by name."""
    configuration = facts.configuration
    if "vmargs" in configuration.launcher and not configuration.read_by_launcher:
        what = "vmargs are set, and torchserve is started without --ts-config"
        yield Found(what, path=configuration.path)


@AREA.check(
    WARNING,
    effect="TorchServe reads that file and not this one.",
    remedy="unset TS_CONFIG_FILE",
)
def file_overridden(facts: Facts) -> Iterator[Found]:
    """Find ``TS_CONFIG_FILE`` in the environment, before ``--ts-config``."""
    configuration, given = facts.configuration, facts.environment.get("TS_CONFIG_FILE")
    if given is None or not configuration.with_option or configuration.path is None:
        return
    if (configuration.folder / given).resolve() != configuration.path.resolve():
        yield Found(f"TS_CONFIG_FILE names {given}")


@AREA.check(
    WARNING,
    effect="Started without --ncs, TorchServe takes the last of them instead of "
    "config.properties, with its models and limits.",
    remedy="torchserve --start --ncs ...  (or --ts-config config.properties)",
)
def snapshot_overrides(facts: Facts) -> Iterator[Found]:
    """Find snapshots of an earlier run below ``logs/config``."""
    configuration = facts.configuration
    if configuration.read_by_launcher:
        return  # a file that is given by name comes before snapshots
    logs = configuration.folder / facts.environment.get("LOG_LOCATION", "logs")
    count = len(list((logs / "config").glob("*.cfg"))) if (logs / "config").is_dir() else 0
    if count:
        yield Found(f"{count} snapshots in {logs / 'config'}")


@AREA.check(
    WARNING,
    effect="TorchServe does not look at it.",
    remedy="enable_envvars_config=true  (or set {name} in the file)",
)
def environment_ignored(facts: Facts) -> Iterator[Found]:
    """Find variables ``TS_...`` without ``enable_envvars_config``."""
    configuration = facts.configuration
    if configuration.flag("enable_envvars_config"):
        return
    for name, known in PROPERTIES.items():
        if known.variable in facts.environment and known.variable not in _ALWAYS:
            what = f"{known.variable} is set, and enable_envvars_config is not true"
            yield Found(what, name=name)


@AREA.check(
    ERROR,
    effect="Every request and the loading of every model end at once, and kill the worker.",
    remedy="{name}={example}",
)
def timeout_not_positive(facts: Facts) -> Iterator[Found]:
    """Find a timeout of 0 or less, which does not mean that there is none."""
    for name in ("default_response_timeout", "default_startup_timeout", "unregister_model_timeout"):
        value = as_java_int(facts.configuration.values.get(name, "1"))
        if value is not None and value <= 0:
            yield Found(f"{name} is {value} s", name=name, example=PROPERTIES[name].default)
