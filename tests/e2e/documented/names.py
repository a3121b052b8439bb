"""What the pages take as given: a reader's model, transforms and data, and the server's address."""

from __future__ import annotations

import doctest
import os
from types import SimpleNamespace

import numpy as np
from parts import Net, post_processing, pre_processing

from eisen_deploy.packaging import EisenServingMAR, create_metadata

SHAPE = [-1, 1, -1, -1, -1]
volume = np.linspace(-1, 1, 64**3, dtype=np.float32).reshape(1, 1, 64, 64, 64)
paths = ["volume.npy", "volume.npy"]
url = os.environ.get("URL", "")
key = os.environ.get("KEY", "")
stop_button = SimpleNamespace(on_click=lambda action: None)


model = Net()
metadata = create_metadata(
    ["image"], ["ndarray"], [SHAPE], ["mask"], ["ndarray"], [SHAPE], model_output_list=["logits"]
)
packer = EisenServingMAR(pre_processing, post_processing, metadata)


def check_session(text: str, names: dict[str, object]) -> None:
    """Run what stands behind ``>>>``, and compare what is printed with what a page shows."""
    test = doctest.DocTestParser().get_doctest(text, names, "page", None, None)
    test.globs = names
    result = doctest.DocTestRunner().run(test, clear_globs=False)
    assert result.attempted
    assert not result.failed
