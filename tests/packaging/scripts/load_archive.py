"""Load an unpacked archive as a server does that has nothing else of it; print what came."""

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

import dill  # noqa: E402
import torch  # noqa: E402


def transform(name):
    with open(f"{FOLDER}/{name}_process_tform.pkl", "rb") as file:  # noqa: PTH123
        return dill.load(file, ignore=True)


model = torch.load(f"{FOLDER}/model.pt", map_location="cpu", pickle_module=dill, weights_only=False)
pre, post = transform("pre"), transform("post")
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
