"""Claims about the times, and whether the results of a run confirm them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from .measure import BATCHED
from .numbers import Results, has, median, ratio
from .systems import BASE
from .systems.system import KIB, MIB

_PEERS = ("litserve", "bentoml", "bentoml-numpy", "ray-serve", "mlserver")
# What runs on stock TorchServe: a handler that does nothing, and our archive.
_STOCK = {
    "torchserve-stock-echo-bytes": "Stock TorchServe",
    "torchserve-stock": "Stock TorchServe, with our archive,",
}
_BARE = "torchserve-echo-bytes"
_UVICORN = "eisen-serve-uvicorn"
_RAY = "eisen-serve-ray"
_SIZES = (KIB, 588 * KIB, 8 * MIB, 64 * MIB, 256 * MIB)
# How many times as long as what only moves bytes our archive may take: task, engine, limit, size,
# times.
_LIMITS = (
    *(("echo", _UVICORN, "asgi-echo", size, 1.15) for size in _SIZES),
    *(
        ("echo", _UVICORN, "raw-socket", size, most)
        for size, most in ((8 * MIB, 1.5), (64 * MIB, 1.3), (256 * MIB, 1.3))
    ),
    ("unet", _UVICORN, "raw-socket", None, 1.05),
    *(("echo", _RAY, "ray-serve", size, 1.25) for size in _SIZES),
)


class Claim(NamedTuple):
    """One claim.

    :param found: the number that decides, or why it is missing.
    :param holds: whether the claim is true; ``None`` if it was not measured.
    """

    text: str
    found: str
    holds: bool | None


def check(results: Results) -> list[Claim]:
    """Return every claim with its result."""
    return [
        *_peers(results, BASE),
        *_peers(results, _UVICORN),
        *_stock(results),
        _linear(results, BASE, 1.5),
        _linear(results, _UVICORN, 1.2),
        *_bare(results),
        *_limits(results),
        *_memory(results),
        *_batching(results, BASE),
        *_batching(results, _UVICORN),
    ]


def _name(size: int) -> str:
    return f"{size // MIB} MiB" if size >= MIB else f"{size // KIB} KiB"


def _missing(text: str) -> Claim:
    return Claim(text, "not measured", None)


def _peers(results: Results, name: str) -> Iterator[Claim]:
    """Yield that each peer is slower, for each size and number of clients, and for the U-Net."""
    for block in results.blocks:
        if block.task not in ("echo", "unet"):
            continue
        key = "median" if block.threads == 1 else "each"
        clients = "one client" if block.threads == 1 else f"{block.threads} clients"
        what = _name(block.size) if block.task == "echo" else "the U-Net"
        for peer in _PEERS:
            text = f"{peer} takes longer than {name}: {what}, {clients}"
            if has(block, peer, name):
                times = ratio(block, peer, name, key=key)
                yield Claim(text, f"{times:.2f} times", times > 1)
            else:
                yield _missing(text)


def _stock(results: Results) -> Iterator[Claim]:
    """Yield how many times as long stock TorchServe takes."""
    wanted = ((KIB, 1.0), (64 * MIB, 2.0), (256 * MIB, 4.0))
    for (stock, name), (size, least) in product(_STOCK.items(), wanted):
        text = f"{name} takes at least {least:g} times as long: {_name(size)}"
        block = results.block("echo", size)
        if block is not None and has(block, stock, BASE):
            times = ratio(block, stock)
            yield Claim(text, f"{times:.2f} times", times >= least)
        else:
            yield _missing(text)


def _linear(results: Results, name: str, most: float) -> Claim:
    text = f"{name}: a byte of 256 MiB takes at most {most:g} times as long as one of 8 MiB"
    large, small = results.block("echo", 256 * MIB), results.block("echo", 8 * MIB)
    if large is None or small is None or not (has(large, name) and has(small, name)):
        return _missing(text)
    times = median(large, name) / median(small, name) * small.size / large.size
    return Claim(text, f"{times:.2f} times", times <= most)


def _bare(results: Results) -> Iterator[Claim]:
    """Yield what handler and client add to a handler that does nothing."""
    for size in results.sizes():
        block = results.block("echo", size)
        small = size < 588 * KIB
        most = "1 ms" if small else "10 %"
        text = f"handler and client add at most {most} to the bare handler: {_name(size)}"
        if block is None or not has(block, _BARE, BASE):
            yield _missing(text)
        elif small:
            added = (median(block, BASE) - median(block, _BARE)) * 1e3
            yield Claim(text, f"{added:.2f} ms", added <= 1)
        else:
            times = ratio(block, BASE, _BARE)
            yield Claim(text, f"{(times - 1) * 100:+.0f} %", times <= 1.1)


def _limits(results: Results) -> Iterator[Claim]:
    """Yield how near our archive on other engines comes to what only moves bytes."""
    for task, name, limit, size, most in _LIMITS:
        what = "the U-Net" if size is None else _name(size)
        text = f"{name} takes at most {most:g} times as long as {limit}: {what}"
        block = results.block(task, size)
        if block is not None and has(block, name, limit):
            times = ratio(block, name, limit)
            yield Claim(text, f"{times:.2f} times", times <= most)
        else:
            yield _missing(text)


def _memory(results: Results) -> Iterator[Claim]:
    """Yield how much memory one call needs; a body and its reply are 2."""
    limits = (
        (BASE, "worker", 4.0, "the worker's peak is at most 3 bodies and the reply"),
        (BASE, "client", 1.25, "the client's peak is at most 1.25 times the reply"),
        (_UVICORN, "server", 2.2, "on uvicorn all of the server's peak is at most 1.1 times both"),
    )
    for name, key, most, text in limits:
        held = results.memory.get(name, {})
        if key in held:
            yield Claim(text, f"{held[key]:.2f}", held[key] <= most)
        else:
            yield _missing(text)


def _batching(results: Results, name: str) -> Iterator[Claim]:
    """Yield what batching achieves with a small CNN and 16 clients."""
    block = results.block("cnn", None, 16)
    batched = f"{name} {BATCHED}"
    texts = (
        f"{name}: batching gives at least twice the throughput",
        f"{name}: batching makes p99 no worse",
    )
    if block is None or not has(block, name, batched):
        yield from map(_missing, texts)
        return
    times = ratio(block, name, batched, key="each")
    yield Claim(texts[0], f"{times:.2f} times", times >= 2)
    worse = ratio(block, batched, name, key="p99")
    yield Claim(texts[1], f"{worse:.2f} times", worse <= 1)
