"""Models, transforms, metadata and batches made at random: what users write, and what goes wrong.

All numbers are small integers, so that sums of them are exact in any order.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

WIDTH = 4


class Model(torch.nn.Module):
    """Gives ``y`` by one of the functions below, and with ``extra`` a second output."""

    def __init__(self, kind, extra):
        super().__init__()
        self.kind, self.extra = kind, extra
        self.register_buffer("memory", torch.zeros(64, WIDTH))
        self.register_buffer("table", torch.arange(2.0 * WIDTH).reshape(2, WIDTH))

    def forward(self, x):
        y = getattr(self, self.kind)(x)
        if self.extra is None:
            return y
        second = getattr(self, self.extra)(x)
        return {"y": y, "z": second} if self.extra == "doubled" else (y, second)

    def doubled(self, x):
        return x * 2

    def itself(self, x):
        return x

    def in_place(self, x):
        return x.mul_(3)

    def same_memory(self, x):
        return torch.add(x, 1, out=self.memory[: len(x), : x.shape[1]])

    def a_view(self, x):
        return x.flip(1)[:, ::1]

    def a_table(self, _x):
        return self.table

    def expanded(self, x):
        return self.table[:1].expand(len(x), WIDTH)

    def of_rows(self, x):
        return x - x.sum(1, keepdim=True)

    def of_the_batch(self, x):
        return x - x.sum()

    def sorted_rows(self, x):
        return x[x[:, 0].argsort(stable=True)]

    def findings(self, x):
        return x[x > 5].reshape(-1, 1)

    def positive_rows(self, x):
        return x[x.sum(1) > 0]

    def to_the_longest(self, x):
        return x[:, : max(1, int((x > 0).sum(1).max()))]

    def labels(self, x):
        return x.argmax(1, keepdim=True)

    def guarded(self, x):
        if bool((x > 7).any()):
            raise ValueError("too bright")
        return x + 5


class Transform:
    """One of the functions below, on ``x`` before the model or on ``y`` behind it."""

    def __init__(self, name, kind):
        self.name, self.kind = name, kind
        self.memory = np.zeros((64, WIDTH), np.float32)

    def __call__(self, data):
        return getattr(self, self.kind)(data)

    def in_place(self, data):
        data[self.name] += 1
        return data

    def same_memory(self, data):
        value = np.asarray(data[self.name])
        if value.ndim != 2 or value.shape[1] > WIDTH:
            return data
        rows = self.memory[: len(value), : value.shape[1]]
        return {**data, self.name: np.add(value, 2, out=rows)}

    def same_dict(self, data):
        self.kept = getattr(self, "kept", {})
        self.kept.update(data)
        self.kept[self.name] = np.asarray(data[self.name]) * 2
        return self.kept

    def guarded(self, data):
        if (np.asarray(data[self.name]) == -8).any():
            raise KeyError("a slice is missing")
        return data

    def with_input(self, data):
        data[self.name] *= 2
        return {**data, self.name: data[self.name] + np.asarray(data["x"]).sum()}

    def fewer_rows(self, data):
        return {**data, self.name: np.asarray(data[self.name])[:1]}

    def cropped(self, data):
        value = np.asarray(data[self.name])
        return {**data, self.name: value[:, : 1 + int(value.max() > 3)]}


class Recentre:
    """What the first transform takes away the second one adds: a state between the two."""

    shift = 0.0

    def before(self, data):
        self.shift = float(data["x"].max())
        return {**data, "x": data["x"] - self.shift}

    def behind(self, data):
        return {**data, "y": np.asarray(data["y"]) + self.shift}


KINDS = [name for name in vars(Model) if not name.startswith("_") and name != "forward"]
STEPS = [name for name in vars(Transform) if not name.startswith("_")]


@dataclass
class Case:
    """One archive, and requests that are sent to it together: media type and body."""

    model: Any
    transforms: dict[str, Any]
    metadata: dict[str, Any]
    sample: dict[str, Any] | None
    requests: list[tuple[dict[str, str], bytes]]


def make(seed, encode):
    """Return a case.

    :param encode: returns headers and body of a batch in the Open Inference Protocol.
    """
    dice = random.Random(seed)
    extra = dice.choice([None, None, "a_table", "doubled", "same_memory", "labels"])
    model = Model(dice.choice(KINDS), extra).eval()
    metadata = _metadata(dice, has_extra=extra is not None)
    is_free = metadata["inputs"][0]["shape"][0] == -1
    sample = {"x": _rows(dice, 2 if is_free else 1), "note": "s"}
    return Case(
        model,
        _transforms(dice),
        metadata,
        sample if dice.random() < 0.7 else None,
        [_request(dice, encode) for _ in range(dice.randint(2, 6))],
    )


def _transforms(dice):
    if dice.random() < 0.15:
        both = Recentre()
        return {"pre_processing": both.before, "post_processing": both.behind}
    return {
        part: None if dice.random() < 0.5 else Transform(name, dice.choice(STEPS))
        for part, name in (("pre_processing", "x"), ("post_processing", "y"))
    }


def _metadata(dice, *, has_extra):
    rows = dice.choice([-1, -1, -1, 1])
    first = dice.choice([None, [rows, -1], [-1, -1], [2, WIDTH]])
    names = ["y", "z"] if has_extra else ["y"]
    outputs = [{"name": name, "type": "ndarray"} for name in [*names, "note"]]
    if first is not None:
        outputs[-2]["shape"] = first
    kind = dice.choice(["ndarray", "ndarray[float32]"])
    image = {"name": "x", "type": kind, "shape": [rows, dice.choice([-1, WIDTH])]}
    return {
        "inputs": [image, {"name": "note", "type": "str"}],
        "outputs": outputs,
        "model_input_list": ["x"],
        "model_output_list": names,
    }


def _rows(dice, count, width=WIDTH):
    return np.float32([[dice.randint(-8, 8) for _ in range(width)] for _ in range(count)])


def _request(dice, encode):
    chance = dice.random()
    if chance < 0.05:
        return {"Content-Type": "application/json"}, b'{"x": [[1, 2'
    if chance < 0.1:
        return {}, b""
    width = WIDTH if dice.random() < 0.85 else dice.randint(1, 6)
    batch = {"x": _rows(dice, dice.choice([1, 1, 1, 2, 3]), width), "note": str(dice.random())}
    if chance < 0.15:
        batch["x"][0, 0] = np.nan
    if chance < 0.2:
        del batch["note"]
    if chance < 0.4:
        plain = {name: value if name == "note" else value.tolist() for name, value in batch.items()}
        return {"Content-Type": "application/json"}, repr(plain).replace("'", '"').encode()
    return encode(batch)
