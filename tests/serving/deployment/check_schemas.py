"""Reads objects of Kubernetes, a JSON list, and prints what their schemas find wrong with them."""

from __future__ import annotations

import functools
import json
import sys

import kubernetes_validate
from kubernetes_validate import utils

VERSION = "1.31"


def find_problem(each):
    try:
        kubernetes_validate.validate(each, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{each['kind']} {list(error.absolute_path)}: {error.message}"
    return None


# The definitions are megabytes of JSON, and each object needs them.
utils.schema_contents = functools.cache(utils.schema_contents)
found = map(find_problem, json.load(sys.stdin))
print(json.dumps([problem for problem in found if problem is not None]))
