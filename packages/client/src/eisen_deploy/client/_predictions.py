"""The outputs of one prediction, and what the reply said of the model that made them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class ModelIdentity(NamedTuple):
    """Which model made a prediction, as the server's reply said; ``None`` where it did not say.

    :param name: of the model.
    :param version: of the model.
    :param digest: SHA-256 of the model's archive in hexadecimal digits, as ``eisen-pack inspect``
        prints it.
    """

    name: str | None = None
    version: str | None = None
    digest: str | None = None


class Prediction(dict[str, Any]):
    """Outputs by name: a dict, which also says where they come from.

    :param outputs: values by name.
    :param model: the attribute ``model``, a :class:`ModelIdentity`: which one made them.
    :param request_id: the attribute ``request_id``: the name of the request in the server's log,
        or else the client's own name for it.
    """

    def __init__(
        self,
        outputs: Mapping[str, object] | Iterable[tuple[str, object]] = (),
        *,
        model: ModelIdentity = ModelIdentity(),  # noqa: B008 - it is immutable
        request_id: str | None = None,
    ) -> None:
        super().__init__(outputs)
        self.model = model
        self.request_id = request_id
