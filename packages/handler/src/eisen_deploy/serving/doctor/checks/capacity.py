"""Checks of sizes, times and numbers: what does not fit, and what breaks under load."""

from __future__ import annotations

from collections.abc import Iterator

from eisen_deploy.serving.doctor.facts.gathering import Facts
from eisen_deploy.serving.doctor.findings import Area, Found
from eisen_deploy.serving.engines.options import MIB
from eisen_deploy.serving.engines.torchserve.settings.known_properties import MAX_INT
from eisen_deploy.serving.runtime._shared.command.terminal import format_size
from eisen_deploy.serving.runtime.torchserve.server_config import STOCK_SIZE

AREA: Area[Facts] = Area()

SUGGESTED = 512 * MIB
#: A worker with torch and numpy and a small model, resident: about 240 MB on TorchServe 0.12.
WORKER_BASE = 250 * 10**6


@AREA.warning(
    "A larger request, as a volume is, gets 413 with an empty body, or a reset while it is sent.",
    "max_request_size={bytes}",
)
def request_limit_stock(facts: Facts) -> Iterator[Found]:
    """Find ``max_request_size`` at TorchServe's 6,553,500 bytes."""
    yield from _find_stock(facts, "max_request_size")


@AREA.warning(
    "A larger reply kills the worker, and the client gets 500 Worker died.",
    "max_response_size={bytes}",
)
def response_limit_stock(facts: Facts) -> Iterator[Found]:
    """Find ``max_response_size`` at TorchServe's 6,553,500 bytes."""
    yield from _find_stock(facts, "max_response_size")


def _find_stock(facts: Facts, name: str) -> Iterator[Found]:
    if facts.properties.text(name) == str(STOCK_SIZE):
        yield Found(f"{name} is {STOCK_SIZE} bytes, the default", bytes=SUGGESTED)


@AREA.error(
    "The archive's own sample, or one array of its declared shape, is refused with 413.",
    "max_request_size={bytes}",
)
def request_limit_too_small(facts: Facts) -> Iterator[Found]:
    """Find ``max_request_size`` below what an archive's sample or metadata needs."""
    limit = facts.properties.number("max_request_size")
    for each in facts.archives:
        yield from find_too_small("max_request_size", limit, each.path.name, each.request)


@AREA.error(
    "The answer to the archive's own sample, or one array of its declared shape, kills the worker.",
    "max_response_size={bytes}",
)
def response_limit_too_small(facts: Facts) -> Iterator[Found]:
    """Find ``max_response_size`` below what an archive's sample or metadata needs."""
    limit = facts.properties.number("max_response_size")
    for each in facts.archives:
        yield from find_too_small("max_response_size", limit, each.path.name, each.reply)


def find_too_small(name: str, limit: int, model: str, needed: int) -> Iterator[Found]:
    """Find a limit below what a model needs."""
    if needed > limit:
        # The next power of two, for the headers of a body and for what grows.
        enough = min(1 << needed.bit_length(), MAX_INT)
        yield Found(f"{model} needs {needed} bytes, {name} is {limit}", bytes=enough)


@AREA.warning(
    "Requests that wait fill the Java heap, and the whole server ends with OutOfMemoryError.",
    "job_queue_size={jobs}  (or vmargs=-Xmx{mebibytes}m)",
)
def queue_exceeds_heap(facts: Facts) -> Iterator[Found]:
    """Find queues larger than the Java heap, without ``-XX:+ExitOnOutOfMemoryError``."""
    own, models = facts.properties, max(1, len(facts.archives))
    jobs, body = own.number("job_queue_size"), own.number("max_request_size")
    needed = jobs * body * models
    if needed > facts.heap and "-XX:+ExitOnOutOfMemoryError" not in own.vm_arguments:
        what = f"{models} models x {jobs} requests x {format_size(body)} are {format_size(needed)}"
        fitting = max(1, facts.heap // max(1, body * models))
        what = f"{what}, the heap has {format_size(facts.heap)}"
        yield Found(what, jobs=fitting, mebibytes=-(-needed // MIB))


@AREA.error(
    "One body of that size ends with OutOfMemoryError: the heap holds it twice, in and out.",
    "vmargs=-Xmx{mebibytes}m  (or a smaller {name})",
)
def heap_too_small(facts: Facts) -> Iterator[Found]:
    """Find a heap that cannot hold one body of the allowed size twice."""
    for name in ("max_request_size", "max_response_size"):
        limit = facts.properties.number(name)
        if 2 * limit > facts.heap:
            what = f"{name} is {format_size(limit)}, the heap has {format_size(facts.heap)}"
            yield Found(what, name=name, mebibytes=-(-2 * limit // MIB))


@AREA.warning(
    "Workers take the cores from each other, and each has a copy of the model.",
    "default_workers_per_model={workers}",
)
def workers_exceed_cores(facts: Facts) -> Iterator[Found]:
    """Find more workers than cores and models; by default each model has one for every core."""
    counts = {each.name: facts.workers_of(each) for each in facts.archives}
    total = sum(counts.values()) if counts else facts.workers
    cores = max(facts.machine.cores, facts.gpus)
    if total > max(cores, len(counts)):
        fitting = max(1, cores // max(1, len(counts)))
        yield Found(f"{total} workers in all, {cores} cores", workers=fitting)


@AREA.warning(
    "The machine swaps, or its kernel kills a worker in the middle of a request.",
    "default_workers_per_model=1, and vmargs=-Xmx{mebibytes}m or less",
)
def workers_exceed_memory(facts: Facts) -> Iterator[Found]:
    """Find workers, their copies of the models and the heap above the machine's memory."""
    sizes = [facts.workers_of(a) * (WORKER_BASE + a.model_size) for a in facts.archives]
    needed, memory = sum(sizes) + facts.heap, facts.machine.memory
    if needed > memory:
        what = f"workers and heap need at least {format_size(needed)}"
        what = f"{what}, the machine has {format_size(memory)}"
        yield Found(what, mebibytes=memory // 2 // MIB)


@AREA.error(
    "It takes requests apart first and answers in its own form: Eisen-Deploy's protocol is lost.",
    "remove service_envelope",
)
def handler_replaced(facts: Facts) -> Iterator[Found]:
    """Find ``service_envelope``."""
    if value := facts.properties.text("service_envelope"):
        yield Found(f"service_envelope is {value}")


@AREA.warning(
    "pip runs while a model loads, with packages from whoever answers; long output hangs it.",
    "install_py_dep_per_model=false, with the packages installed before",
)
def dependencies_installed(facts: Facts) -> Iterator[Found]:
    """Find ``install_py_dep_per_model=true``."""
    if facts.properties.flag("install_py_dep_per_model"):
        yield Found("install_py_dep_per_model is true")
