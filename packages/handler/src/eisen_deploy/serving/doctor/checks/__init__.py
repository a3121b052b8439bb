"""What is judged of the facts: one module for each area, one function for each check.

To add a check is to write its function, with the decorator of its area.
"""

from __future__ import annotations

from typing import Any

from eisen_deploy.serving.doctor.findings import Area

from . import access, archives, capacity, properties, running_server, surroundings

_CONFIGURATION = (properties, access, capacity, surroundings, archives)
#: The checks by what is examined, in the order in which they run.
AREAS: dict[str, list[Area[Any]]] = {
    "configuration": [module.AREA for module in _CONFIGURATION],
    "server": [running_server.AREA],
}
