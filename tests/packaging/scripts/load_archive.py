"""Load an unpacked archive on a server that has nothing else of ours; print the result."""

from __future__ import annotations

import importlib.abc
import json
import sys

FOLDER = sys.argv[1]


class NotInstalled(importlib.abc.MetaPathFinder):
    """Hides what a server does not have, wherever it may be installed here."""

    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ("eisen_deploy", "model_archiver"):
            raise ModuleNotFoundError(name)


sys.meta_path.insert(0, NotInstalled())
sys.path.insert(0, FOLDER)

from pathlib import Path  # noqa: E402

import dill  # noqa: E402
import torch  # noqa: E402
from _eisen_serving.archive.loading import load  # noqa: E402

loaded = load(Path(FOLDER))
model, pre, post = loaded.model.module, loaded.pre_processing, loaded.post_processing
scope = type(model).forward.__globals__
answer = {
    "dill": dill.__file__,
    "prediction": model(torch.linspace(-1, 1, 6).reshape(2, 3)).tolist(),
    "transformed": post(pre({"image": [[0.5, -3.0, 9.0]]}))["image"].tolist(),
    "bases": [kind.__name__ for kind in type(model).__mro__],
    "same_base": model.kind is type(model).__mro__[1],
    "left_behind": "LEFT_BEHIND" not in scope and "LEFT_BEHIND" not in pre.__call__.__globals__,
}
print(json.dumps(answer))
