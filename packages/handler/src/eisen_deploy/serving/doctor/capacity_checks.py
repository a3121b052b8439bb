"""Checks of sizes, times and numbers: what does not fit, and what breaks under load."""

from __future__ import annotations

from collections.abc import Iterator

from eisen_deploy.serving.runtime._shared.terminal import size
from eisen_deploy.serving.runtime.torchserve.server_config import STOCK_SIZE

from .configuration import as_size
from .facts import Facts
from .findings import ERROR, NOTE, WARNING, Area, Found
from .known_properties import MAX_INT

AREA: Area[Facts] = Area()

MIB = 2**20
_SUGGESTED = 512 * MIB
#: A worker with torch and numpy and a small model, resident: about 240 MB on TorchServe 0.12.
WORKER_BASE = 250 * 10**6
_LARGE_BODY = MIB
_METRIC_MODES = ("log", "prometheus", "legacy")


def _stock(facts: Facts, name: str) -> Iterator[Found]:
    if facts.configuration.text(name) == str(STOCK_SIZE):
        yield Found(f"{name} is {STOCK_SIZE} bytes, as it comes", bytes=_SUGGESTED)


@AREA.check(
    WARNING,
    effect="A larger request, as a volume is, gets 413 with an empty body, or a reset while it is "
    "sent.",
    remedy="max_request_size={bytes}",
)
def request_limit_stock(facts: Facts) -> Iterator[Found]:
    """Find ``max_request_size`` at TorchServe's 6,553,500 bytes."""
    yield from _stock(facts, "max_request_size")


@AREA.check(
    WARNING,
    effect="A larger reply kills the worker, and the client gets 500 Worker died.",
    remedy="max_response_size={bytes}",
)
def response_limit_stock(facts: Facts) -> Iterator[Found]:
    """Find ``max_response_size`` at TorchServe's 6,553,500 bytes."""
    yield from _stock(facts, "max_response_size")


@AREA.check(
    ERROR,
    effect="The archive's own sample, or one array of its declared shape, is refused with 413.",
    remedy="max_request_size={bytes}",
)
def request_limit_too_small(facts: Facts) -> Iterator[Found]:
    """Find ``max_request_size`` below what an archive's sample or metadata needs."""
    limit = facts.configuration.number("max_request_size")
    for archive in facts.archives:
        if archive.request > limit:
            what = f"{archive.path.name} needs {archive.request} bytes, max_request_size is {limit}"
            yield Found(what, bytes=_rounded(archive.request))


@AREA.check(
    ERROR,
    effect="The answer to the archive's own sample, or one array of its declared shape, kills the "
    "worker.",
    remedy="max_response_size={bytes}",
)
def response_limit_too_small(facts: Facts) -> Iterator[Found]:
    """Find ``max_response_size`` below what an archive's sample or metadata needs."""
    limit = facts.configuration.number("max_response_size")
    for archive in facts.archives:
        if archive.reply > limit:
            what = f"{archive.path.name} needs {archive.reply} bytes, max_response_size is {limit}"
            yield Found(what, bytes=_rounded(archive.reply))


def _rounded(count: int) -> int:
    """Return the next power of two, for the headers of a body and for what grows."""
    return int(min(1 << count.bit_length(), MAX_INT))


@AREA.check(
    WARNING,
    effect="Requests that wait fill the Java heap, and the whole server ends with "
    "OutOfMemoryError.",
    remedy="job_queue_size={jobs}  (or vmargs=-Xmx{mebibytes}m)",
)
def queue_exceeds_heap(facts: Facts) -> Iterator[Found]:
    """Find ``job_queue_size`` x ``max_request_size`` x models above the Java heap.

    It is a note with ``-XX:+ExitOnOutOfMemoryError``: the server ends at once, and whoever watches
    it starts it again; without, it goes on with threads missing.
    """
    configuration = facts.configuration
    jobs, body = configuration.number("job_queue_size"), configuration.number("max_request_size")
    models = max(1, len(facts.archives))
    needed = jobs * body * models
    if needed > facts.heap:
        what = f"{models} models x {jobs} requests x {size(body)} are {size(needed)}"
        fitting = max(1, facts.heap // max(1, body * models))
        heap = -(-needed // MIB)
        what = f"{what}, the heap has {size(facts.heap)}"
        severity = NOTE if "-XX:+ExitOnOutOfMemoryError" in configuration.vm_arguments else None
        yield Found(what, severity=severity, jobs=fitting, mebibytes=heap)


@AREA.check(
    ERROR,
    effect="One request of the allowed size ends with OutOfMemoryError: the server holds it twice "
    "on the heap, as it came and as the worker gets it.",
    remedy="vmargs=-Xmx{mebibytes}m  (or a smaller {name})",
)
def heap_too_small(facts: Facts) -> Iterator[Found]:
    """Find a heap that cannot hold one body of the allowed size twice."""
    for name in ("max_request_size", "max_response_size"):
        limit = facts.configuration.number(name)
        if 2 * limit > facts.heap:
            what = f"{name} is {size(limit)}, the heap has {size(facts.heap)}"
            yield Found(what, name=name, mebibytes=-(-2 * limit // MIB))


@AREA.check(
    WARNING,
    effect="One body of the allowed size ends with OutOfDirectMemoryError: a buffer that grows is "
    "there twice.",
    remedy="vmargs=-XX:MaxDirectMemorySize={mebibytes}m",
)
def direct_memory_too_small(facts: Facts) -> Iterator[Found]:
    """Find a limit of buffers outside of the heap below two bodies of the allowed size."""
    configuration = facts.configuration
    limit = configuration.direct_memory(facts.machine.memory)
    body = max(map(configuration.number, ("max_request_size", "max_response_size")))
    if 2 * body > limit and limit != facts.heap:
        what = f"direct memory is limited to {size(limit)}, a body to {size(body)}"
        yield Found(what, mebibytes=-(-2 * body // MIB))


@AREA.check(
    WARNING,
    effect="The machine swaps or kills the server, once the heap is used.",
    remedy="vmargs=-Xmx{mebibytes}m",
)
def heap_exceeds_memory(facts: Facts) -> Iterator[Found]:
    """Find a heap that is larger than the machine's memory."""
    memory = facts.machine.memory
    if facts.heap > memory:
        what = f"the heap has {size(facts.heap)}, the machine {size(memory)}"
        yield Found(what, mebibytes=memory // 2 // MIB)


@AREA.check(
    WARNING,
    effect="Java ends at its start: Invalid maximum heap size.",
    remedy="vmargs=-Xmx4g",
)
def heap_unreadable(facts: Facts) -> Iterator[Found]:
    """Find ``-Xmx`` with a size that is none."""
    for argument in facts.configuration.vm_arguments:
        if argument.startswith("-Xmx") and as_size(argument[4:]) is None:
            yield Found(f"{argument} is no size")


@AREA.check(
    WARNING,
    effect="Workers take the cores from each other, and each has a copy of the model.",
    remedy="default_workers_per_model={workers}",
)
def workers_exceed_cores(facts: Facts) -> Iterator[Found]:
    """Find more workers than cores and models; as it comes, each model has one for every core."""
    counts = {each.name: facts.workers_of(each) for each in facts.archives}
    total = sum(counts.values()) if counts else facts.workers
    cores = max(facts.machine.cores, facts.gpus)
    if total > max(cores, len(counts)):
        fitting = max(1, cores // max(1, len(counts)))
        yield Found(f"{total} workers in all, {cores} cores", workers=fitting)


@AREA.check(
    WARNING,
    effect="The machine swaps, or its kernel kills a worker in the middle of a request.",
    remedy="default_workers_per_model=1",
)
def workers_exceed_memory(facts: Facts) -> Iterator[Found]:
    """Find workers, their copies of the models and the heap above the machine's memory."""
    sizes = [facts.workers_of(a) * (WORKER_BASE + a.model_size) for a in facts.archives]
    needed, memory = sum(sizes) + facts.heap, facts.machine.memory
    if sizes and needed > memory:
        what = f"workers and heap need at least {size(needed)}, the machine has {size(memory)}"
        yield Found(what)


@AREA.check(
    WARNING,
    effect="The server reads several large replies of one batch in quadratic time, and they wait "
    "for each other.",
    remedy="serving={{'batch_size': 1}} when {name} is packed",
)
def batch_of_volumes(facts: Facts) -> Iterator[Found]:
    """Find a batch size above 1 for bodies of a megabyte or more."""
    for archive in facts.archives:
        batch = archive.option("batchSize", facts.configuration.models) or 1
        body = max(archive.request, archive.reply)
        if batch > 1 and body >= _LARGE_BODY:
            what = f"{archive.path.name} has batchSize {batch} and bodies of {size(body)}"
            yield Found(what, name=archive.name)


@AREA.check(
    NOTE,
    effect="An answer, or the loading of a model, that takes longer kills the worker.",
    remedy="{name}=600",
)
def timeout_stock(facts: Facts) -> Iterator[Found]:
    """Find a timeout as it comes, 120 s."""
    for name in ("default_response_timeout", "default_startup_timeout"):
        if name not in facts.configuration.values:
            yield Found(f"{name} is 120 s, as it comes", name=name)


@AREA.check(
    WARNING,
    effect="One client that sends a volume keeps all others waiting.",
    remedy="number_of_netty_threads={threads}",
)
def netty_threads_few(facts: Facts) -> Iterator[Found]:
    """Find ``number_of_netty_threads=1``."""
    if facts.configuration.number("number_of_netty_threads") == 1:
        yield Found("number_of_netty_threads is 1", threads=2 * facts.machine.cores)


@AREA.check(
    NOTE,
    effect="Bodies that are sent to the workers need direct memory besides the heap.",
    remedy="prefer_direct_buffer=false",
)
def direct_buffers_preferred(facts: Facts) -> Iterator[Found]:
    """Find ``prefer_direct_buffer=true``."""
    if facts.configuration.flag("prefer_direct_buffer"):
        yield Found("prefer_direct_buffer is true")


@AREA.check(
    NOTE,
    effect="GET /metrics answers with an empty page; the metrics are in the logs only.",
    remedy="metrics_mode=prometheus",
)
def metrics_in_logs(facts: Facts) -> Iterator[Found]:
    """Find ``metrics_mode=log``, which is how TorchServe comes; a warning where it is no mode."""
    mode = "".join((facts.configuration.text("metrics_mode") or "").split()).lower()
    if mode not in _METRIC_MODES:
        yield Found(f"metrics_mode {mode!r} is none, so log", severity=WARNING)
    elif mode == "log":
        yield Found("metrics_mode is log")


@AREA.check(
    NOTE,
    effect="There is no port for Prometheus.",
    remedy="enable_metrics_api=true",
)
def metrics_api_off(facts: Facts) -> Iterator[Found]:
    """Find ``enable_metrics_api=false``."""
    if not facts.configuration.flag("enable_metrics_api"):
        yield Found("enable_metrics_api is false")


@AREA.check(
    ERROR,
    effect="It takes requests apart before the archive's handler sees them, and answers in its own "
    "form: the protocol of Eisen-Deploy does not pass.",
    remedy="remove {name}",
)
def handler_replaced(facts: Facts) -> Iterator[Found]:
    """Find ``service_envelope``; ``default_service_handler`` is a note: archives name their own."""
    severities = {"service_envelope": ERROR, "default_service_handler": NOTE}
    for name, severity in severities.items():
        value = facts.configuration.text(name)
        if value:
            yield Found(f"{name} is {value}", severity=severity, name=name)


@AREA.check(
    WARNING,
    effect="pip runs while a model loads: it needs the network, takes its packages from whoever "
    "answers, and hangs the server where it says more than 64 KiB.",
    remedy="install_py_dep_per_model=false, with the packages installed before",
)
def dependencies_installed(facts: Facts) -> Iterator[Found]:
    """Find ``install_py_dep_per_model=true``."""
    if facts.configuration.flag("install_py_dep_per_model"):
        yield Found("install_py_dep_per_model is true")
