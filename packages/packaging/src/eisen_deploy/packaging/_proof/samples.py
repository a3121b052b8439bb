"""The sample of an archive: a request, and the reply that model and transforms give here.

The user's own objects run, before anything is pickled or imported anew, in the handler's own code:
what a server decodes, calls, names and encodes is decoded, called, named and encoded here alike.
Both bodies go into the archive as the Open Inference Protocol has them.
"""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from eisen_deploy.packaging._arguments.handlers import Handler
from eisen_deploy.packaging._arguments.model_checks import listed, training_names
from eisen_deploy.packaging._arguments.payload import Payload
from eisen_deploy.packaging._errors import InvalidSample, ProofFailed
from eisen_deploy.packaging._shared.archive import eisen_json
from eisen_deploy.packaging._shared.archive.allowed_values import ENTRY
from eisen_deploy.packaging._shared.archive.batches import Batches
from eisen_deploy.packaging._shared.errors import ContractError
from eisen_deploy.packaging._shared.model.metadata import Metadata
from eisen_deploy.packaging._shared.wire import protocol, values

from . import rows

if TYPE_CHECKING:
    from eisen_deploy.serving import EisenServingHandler
    from eisen_deploy.serving.runtime.archive.loading import Loaded
    from eisen_deploy.serving.runtime.messages import Request

#: The share by which a reply may differ where it is replayed, unless a user says otherwise.
TOLERANCE = 1e-3

_FOLDER = "sample"
_CAUSES = (
    "likely causes are random numbers without a seed, dropout that stays on in evaluation mode, "
    "the time, and state that the model or a transform changes from call to call"
)
_IN_TRAINING = (
    "the model is in evaluation mode, and in training mode are {}, where dropout is random: pack "
    "without a sample if that is meant, or call model.eval() before"
)


def record(
    payload: Payload, sample: object, folder: Path, tolerance: float
) -> tuple[dict[str, Any], Batches]:
    """Run a sample, and write its request and its reply into the archive's folder.

    It runs twice, since a reply that is not the same again is no reply to compare with. The
    model's modes are restored; it runs on the device where it is.

    :param sample: one request's inputs by name, as a client would send them.
    :param folder: in which the archive's files are staged, those of the handler among them.
    :param tolerance: by which a replayed reply may differ.
    :returns: what ``eisen.json`` says of the sample, and whether requests may share a pass.
    :raises InvalidSample: with every problem of the sample.
    :raises ProofFailed: if a transform or the model raises, or the two replies differ.
    """
    request = _encoded(payload, sample, tolerance)
    outputs, batches = _run(payload, request, folder, tolerance)
    try:
        reply = protocol.encode_reply(
            outputs, model_name=payload.name, model_version=payload.version
        )
    except ContractError as error:
        raise ProofFailed(f"the reply to the sample cannot be recorded: {error}") from None
    (folder / _FOLDER).mkdir()
    return {
        "request": _write(request, folder, f"{_FOLDER}/request.bin"),
        "reply": _write(reply, folder, f"{_FOLDER}/reply.bin"),
        "tolerance": tolerance,
    }, batches


def gpu_of(payload: Payload) -> int | None:
    """Return the number of the GPU to prove the sample on, or ``None``.

    It is the one that the model lies on; the first, where the model asks for one at the server.
    """
    device = _device(payload.model)
    if device.type == "cuda":
        return device.index
    return 0 if (payload.serving or {}).get("device") == "cuda" else None


# --- the request --------------------------------------------------------------------------


def _encoded(payload: Payload, sample: object, tolerance: object) -> protocol.Body:
    problems = [*_handler_problems(payload.handler), *_tolerance_problems(tolerance)]
    inputs = _as_numpy(sample)
    if inputs is None:
        problems.append(f"sample: expected a dict of inputs by name, came {type(sample).__name__}")
    problems += [f"sample: {problem}" for problem in _input_problems(inputs or {})]
    if problems or inputs is None:
        raise InvalidSample(problems)
    body = protocol.encode_request(inputs)
    try:
        decoded = protocol.decode_request(b"".join(body.buffers), body.json_size)
        Metadata.parse(json.loads(payload.meta_data)).conform(decoded.inputs)
    except ContractError as error:
        raise InvalidSample(f"sample: {problem}" for problem in error.problems) from None
    return body


def _handler_problems(handler: Handler) -> Iterator[str]:
    if handler.entry != ENTRY:
        yield (
            "sample: only Eisen-Deploy's own handler and subclasses of it replay one, and "
            f"handler is {handler.entry}"
        )


def _tolerance_problems(tolerance: object) -> Iterator[str]:
    is_number = isinstance(tolerance, (int, float)) and not isinstance(tolerance, bool)
    if not is_number or not 0 <= tolerance < math.inf:  # type: ignore[operator]
        yield f"tolerance: expected a number of 0 or more, came {tolerance!r:.40}"


def _as_numpy(sample: object) -> dict[Any, Any] | None:
    from eisen_deploy.serving.runtime.archive.outputs import to_numpy  # noqa: PLC0415 - at a sample only

    if not isinstance(sample, Mapping):
        return None
    return {name: to_numpy(value) for name, value in sample.items()}


def _input_problems(inputs: Mapping[Any, Any]) -> Iterator[str]:
    for name, value in inputs.items():
        yield from _value_problems(name, value)


def _value_problems(name: Any, value: Any) -> tuple[str, ...]:
    try:
        values.to_tensor(name, value)
    except ContractError as error:
        return error.problems
    return ()


def _write(body: protocol.Body, folder: Path, name: str) -> dict[str, Any]:
    with (folder / name).open("xb") as file:
        file.writelines(body.buffers)
    return {"file": name, "json_size": body.json_size}


# --- the reply ----------------------------------------------------------------------------


def _run(
    payload: Payload, body: protocol.Body, folder: Path, tolerance: float
) -> tuple[dict[str, Any], Batches]:
    """Return the outputs that the sample gets, and what altered forms of it show of batches."""
    from eisen_deploy.serving.runtime.answering import selftest  # noqa: PLC0415 - at a sample only

    def request(inputs: Mapping[str, Any] | None = None) -> Request:
        """Return a request with arrays of its own, since transforms may change them."""
        one = body if inputs is None else protocol.encode_request(inputs)
        return selftest.to_request(bytearray(b"".join(one.buffers)), one.json_size)

    with ExitStack() as stack:
        stack.enter_context(_code_from(folder))
        module = stack.enter_context(_evaluated(payload))
        handler = _handler(payload, module, folder)
        try:
            first, second = (selftest.replied(handler, request()) for _ in range(2))
        except selftest.StageFailed as error:
            raise ProofFailed(f"the sample fails in this process: {error}") from error.__cause__
        _check_same(first, second, tolerance, training_names(payload.model))
        batch_size = handler.archive.options.batch_size
        found = rows.examine(handler, request, tolerance=tolerance, batch_size=batch_size)
    return first, Batches.from_json(found.to_json())


def _check_same(
    first: Mapping[str, Any], second: Mapping[str, Any], tolerance: float, training: list[str]
) -> None:
    from eisen_deploy.serving.runtime.answering import selftest  # noqa: PLC0415 - at a sample only

    differences = selftest.compare(first, second, tolerance)
    if differences:
        names = ", ".join(found.name for found in differences[:8])
        causes = _IN_TRAINING.format(listed(training)) if training else _CAUSES
        raise ProofFailed(
            f"the sample gives other outputs when it runs a second time in this process: {names}; "
            f"{causes}\n{selftest.table(differences)}",
            differences,
        )


@contextmanager
def _evaluated(payload: Payload) -> Iterator[Any]:
    """Give the module to call, in the modes of a server; it becomes again what it was.

    What is in training mode on purpose, such as batch normalisation, may count what it is given.
    """
    if payload.form.name == "export":
        yield payload.model.module()
        return
    from eisen_deploy.serving.runtime.archive.loading import evaluated  # noqa: PLC0415 - at a sample only

    model = payload.model
    # A frozen ScriptModule has no modes.
    modes = [(each, each.training) for each in model.modules() if hasattr(each, "training")]
    buffers = list(model.buffers()) if training_names(model) else []
    before = [buffer.clone() for buffer in buffers]
    try:
        yield evaluated(model)
    finally:
        for buffer, values in zip(buffers, before, strict=True):
            buffer.copy_(values)
        if modes and modes[0][0] is model:
            model.train(modes[0][1])  # whatever a train() of its own does beside setting modes
        for each, mode in modes:
            each.training = mode


def _device(model: Any) -> torch.device:
    module = model.module() if isinstance(model, torch.export.ExportedProgram) else model
    tensors = [*module.parameters(), *module.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")


def _loaded(payload: Payload, module: Any) -> Loaded:
    """Return the archive in memory, as the handler would have it after loading."""
    # At a sample only, and of the handler's own copy of what is shared.
    from eisen_deploy.serving.runtime._shared.archive.batches import Batches  # noqa: PLC0415
    from eisen_deploy.serving.runtime._shared.model.metadata import Metadata  # noqa: PLC0415
    from eisen_deploy.serving.runtime._shared.model.serving_options import ServingOptions  # noqa: PLC0415
    from eisen_deploy.serving.runtime.archive import loading, model  # noqa: PLC0415

    text = payload.meta_data.decode("utf-8")
    metadata = Metadata.parse(json.loads(text))
    keywords = model.keyword_positions(metadata.model_inputs, payload.keywords)
    options = ServingOptions(**payload.serving or {})
    return loading.Loaded(
        name=payload.name,
        version=payload.version,
        digest="",
        metadata_text=text,
        metadata=metadata,
        pre_processing=payload.transforms["pre_processing"],
        post_processing=payload.transforms["post_processing"],
        model=model.Model(module, _device(module), options.precision, keywords),
        options=options,
        sample=None,
        batches=Batches(),
    )


# --- the handler --------------------------------------------------------------------------


def _handler(payload: Payload, module: Any, folder: Path) -> EisenServingHandler:
    """Return the archive's handler, initialised as on a server but for what it loads."""
    from eisen_deploy.serving.runtime.session import Context  # noqa: PLC0415 - at a sample only

    loaded = _loaded(payload, module)
    try:
        handler = _handler_class(payload.handler, folder)()
        handler.initialize(Context(folder, gpu_of(payload), loaded))
    except (Exception, SystemExit) as error:
        name = payload.handler.subclass or "EisenServingHandler"
        raise ProofFailed(
            f"handler: {name} cannot be made in this process: {type(error).__name__}: {error}"
        ) from error
    return handler


def _handler_class(handler: Handler, folder: Path) -> type[EisenServingHandler]:
    from eisen_deploy.serving import EisenServingHandler  # noqa: PLC0415 - at a sample only

    if handler.file is None or handler.subclass is None:
        return EisenServingHandler
    name = handler.file[0].removesuffix(".py")
    spec = importlib.util.spec_from_file_location(name, folder / handler.file[0])
    if spec is None or spec.loader is None:
        raise ImportError(f"{handler.file[0]} cannot be imported")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: type[EisenServingHandler] = getattr(module, handler.subclass)
    return found


@contextmanager
def _code_from(folder: Path) -> Iterator[None]:
    """Let a handler import what lies beside it in the archive; nothing of that stays imported."""
    path, modules, writes = list(sys.path), dict(sys.modules), sys.dont_write_bytecode
    sys.path += [str(folder), str(folder / eisen_json.CODE_FOLDER)]
    sys.dont_write_bytecode = True  # it would end up in the archive
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode = path, writes
        for name, module in list(sys.modules.items()):
            if modules.get(name) is not module and _lies_in(module, folder):
                del sys.modules[name]
                if name in modules:
                    sys.modules[name] = modules[name]


def _lies_in(module: Any, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and folder in Path(file).parents
