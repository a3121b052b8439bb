"""What goes wrong between Ray's processes, as an answer."""

from __future__ import annotations

from eisen_deploy.serving.runtime.errors import ServingError


class ReplicaLost(ServingError):
    """The replica that had the request is lost or silent: it may have been executed."""

    status = 502
