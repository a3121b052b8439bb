"""The sample of an archive: a request, and the reply that model and transforms give here.

The user's own objects run, before anything is pickled or imported anew, in the handler's own code:
what a server decodes, calls, names and encodes is decoded, called, named and encoded here alike.
So this module, which brings the handler, is imported at a sample only.
Both bodies go into the archive as the Open Inference Protocol has them.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import torch

from eisen_deploy.packaging._arguments.handler_argument import Handler
from eisen_deploy.packaging._arguments.model_argument import ModelArgument
from eisen_deploy.packaging._arguments.model_checks import join_names
from eisen_deploy.packaging._arguments.payload import Payload
from eisen_deploy.packaging._errors import ProofFailed
from eisen_deploy.packaging._shared.archive.batches import Batches
from eisen_deploy.packaging._shared.archive.names import CODE_FOLDER
from eisen_deploy.packaging._shared.errors import ContractError
from eisen_deploy.packaging._shared.wire import protocol
from eisen_deploy.serving import EisenServingHandler

# The handler gets its own copy of what is shared.
from eisen_deploy.serving.runtime._shared.archive import batches as handler_batches
from eisen_deploy.serving.runtime._shared.model.metadata import Metadata
from eisen_deploy.serving.runtime._shared.model.serving_options import ServingOptions
from eisen_deploy.serving.runtime.answering import comparison, selftest
from eisen_deploy.serving.runtime.archive import loading, model
from eisen_deploy.serving.runtime.messages import Request
from eisen_deploy.serving.runtime.session import Context

from . import row_independence

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
    payload: Payload, request: protocol.Body, folder: Path
) -> tuple[dict[str, object], Batches]:
    """Run a sample, and write its request and its reply into the archive's folder.

    It runs twice: a reply that differs the second time is nothing to compare with. The model's
    modes are restored; it runs on the device where it is.

    :param request: one request, encoded as a client would send it.
    :param folder: in which the archive's files are staged, those of the handler among them.
    :returns: what ``eisen.json`` says of the sample, and whether requests may share a pass.
    :raises ProofFailed: if a transform or the model raises, or the two replies differ.
    """
    outputs, batches = _run(payload, request, folder)
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
        "tolerance": payload.tolerance,
    }, batches


def _write(body: protocol.Body, folder: Path, name: str) -> dict[str, object]:
    with (folder / name).open("xb") as file:
        file.writelines(body.buffers)
    return {"file": name, "json_size": body.json_size}


def _run(payload: Payload, body: protocol.Body, folder: Path) -> tuple[dict[str, object], Batches]:
    """Return the outputs that the sample gets, and what altered forms of it show of batches."""

    def request(inputs: Mapping[str, object] | None = None) -> Request:
        one = body if inputs is None else protocol.encode_request(inputs)
        return selftest.to_request(bytearray(b"".join(one.buffers)), one.json_size)

    with ExitStack() as stack:
        stack.enter_context(_importing_from(folder))
        module = stack.enter_context(in_evaluation_mode(payload.model))
        handler = _make_handler(payload, module, folder)
        try:
            first, second = (selftest.predict(handler, request()) for _ in range(2))
        except selftest.StageFailed as error:
            raise ProofFailed(f"the sample fails in this process: {error}") from error.__cause__
        _check_same(first, second, payload)
        batch_size = handler.archive.options.batch_size
        found = row_independence.examine(
            handler, request, tolerance=payload.tolerance, batch_size=batch_size
        )
    return first, Batches(**asdict(found))


def _check_same(
    first: Mapping[str, object], second: Mapping[str, object], payload: Payload
) -> None:
    differences = comparison.compare(first, second, payload.tolerance)
    if differences:
        names = ", ".join(found.name for found in differences[:8])
        training = payload.model.training
        causes = _IN_TRAINING.format(join_names(training)) if training else _CAUSES
        raise ProofFailed(
            f"the sample gives other outputs when it runs a second time in this process: {names}; "
            f"{causes}\n{comparison.format_table(differences)}",
            differences,
        )


@contextmanager
def in_evaluation_mode(argument: ModelArgument) -> Iterator[torch.nn.Module]:
    """Give the module to call, in the modes of a server, and restore its own modes after that.

    What is in training mode on purpose, such as batch normalisation, may count what it is given.
    """
    module = argument.packed
    if isinstance(module, torch.export.ExportedProgram):
        yield module.module()
        return
    # A frozen ScriptModule has no modes.
    modes = [(each, each.training) for each in module.modules() if hasattr(each, "training")]
    buffers = list(module.buffers()) if argument.training else []
    before = [buffer.clone() for buffer in buffers]
    try:
        yield loading.set_evaluation_mode(module)
    finally:
        for buffer, values in zip(buffers, before, strict=True):
            buffer.copy_(values)
        if modes and modes[0][0] is module:
            module.train(modes[0][1])  # whatever a train() of its own does beside setting modes
        for each, mode in modes:
            each.training = mode


def _load(payload: Payload, module: torch.nn.Module) -> loading.LoadedArchive:
    """Return the archive in memory, as the handler would have it after loading."""
    text = payload.metadata_text.decode("utf-8")
    metadata = Metadata.parse(json.loads(text))
    keywords = model.find_keyword_positions(metadata.model_inputs, payload.model.keywords)
    options = ServingOptions(**asdict(payload.serving)) if payload.serving else ServingOptions()
    return loading.LoadedArchive(
        name=payload.name,
        version=payload.version,
        digest="",
        metadata_text=text,
        metadata=metadata,
        pre_processing=payload.transforms["pre_processing"],
        post_processing=payload.transforms["post_processing"],
        model=model.Model(module, payload.model.device, options.precision, keywords),
        options=options,
        sample=None,
        batches=handler_batches.Batches(),
    )


# --- the handler --------------------------------------------------------------------------


def _make_handler(payload: Payload, module: torch.nn.Module, folder: Path) -> EisenServingHandler:
    """Return the archive's handler, initialised as on a server but for what it loads."""
    loaded = _load(payload, module)
    try:
        handler = _import_handler(payload.handler, folder)()
        handler.initialize(Context(folder, payload.gpu_id, loaded))
    except (Exception, SystemExit) as error:
        name = payload.handler.subclass or "EisenServingHandler"
        raise ProofFailed(
            f"handler: {name} cannot be made in this process: {type(error).__name__}: {error}"
        ) from error
    return handler


def _import_handler(handler: Handler, folder: Path) -> type[EisenServingHandler]:
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
def _importing_from(folder: Path) -> Iterator[None]:
    """Let a handler import what lies beside it in the archive; nothing of that stays imported."""
    path, modules, writes = list(sys.path), dict(sys.modules), sys.dont_write_bytecode
    sys.path += [str(folder), str(folder / CODE_FOLDER)]
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


def _lies_in(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and folder in Path(file).parents
