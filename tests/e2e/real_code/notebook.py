"""Runs the code cells of the notebook beside it, in a namespace that is no module's."""

from __future__ import annotations

import json
from pathlib import Path

NOTEBOOK = Path(__file__).resolve().with_suffix(".ipynb")


def main():
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    namespace = {"__name__": "__main__"}
    for number, source in enumerate(sources, 1):
        exec(compile(source, f"<cell {number}>", "exec"), namespace)


if __name__ == "__main__":
    main()
