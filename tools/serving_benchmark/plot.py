"""Draw the picture: time against size."""

from __future__ import annotations

from pathlib import Path

from .numbers import Results, has, median
from .report import size
from .systems import BASE, SYSTEMS

_OURS = "#0b6e4f"
_STYLES = {
    BASE: {"linestyle": "-"},
    "eisen-serve-uvicorn": {"linestyle": "--"},
    "eisen-serve-ray": {"linestyle": ":"},
}
_COLOURS = (
    "#888888",
    "#b3b3b3",
    "#d1d1d1",
    "#c1440e",
    "#e8a38a",
    "#2f5fa8",
    "#9db7dd",
    "#7b3f9e",
    "#b8860b",
    "#4fb286",
    "#444444",
)


def draw(results: Results, path: Path) -> None:
    """Draw the echo with one client, each system a line, both axes logarithmic."""
    import matplotlib as mpl  # noqa: PLC0415 - not needed without a picture

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    sizes = results.sizes()
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    colours = iter(_COLOURS)
    for name, system in SYSTEMS.items():
        points = _points(results, name, sizes)
        if not points:
            continue
        title = system.title.replace("``", "")
        if name in _STYLES:
            style = {"color": _OURS, "linewidth": 3, "zorder": 5, "marker": "o", **_STYLES[name]}
        elif name == "raw-socket":
            style = {"color": "black", "linewidth": 1, "linestyle": ":", "marker": "."}
        else:
            style = {"color": next(colours), "linewidth": 1.5, "marker": "."}
        axes.loglog(*zip(*points, strict=True), label=title, **style)
    axes.set_xticks(sizes, [size(each) for each in sizes])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("array, each way")
    axes.set_ylabel("milliseconds, one call")
    axes.grid(visible=True, color="#eeeeee")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _points(results: Results, name: str, sizes: list[int]) -> list[tuple[int, float]]:
    blocks = [results.block("echo", each) for each in sizes]
    return [
        (block.size, median(block, name) * 1e3) for block in blocks if block and has(block, name)
    ]
