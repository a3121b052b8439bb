"""What is judged of the facts: one module for each area, one function for each check.

To add a check is to write its function, with the decorator of its area.
"""

from __future__ import annotations

from eisen_deploy.serving.doctor.facts.gathering import Facts
from eisen_deploy.serving.doctor.facts.running_server import RunningServer
from eisen_deploy.serving.doctor.findings import Area

from . import access, archives, capacity, properties, running_server, surroundings

_MODULES = (properties, access, capacity, surroundings, archives)
#: The checks of a configuration and those of a running server, in the order in which they run.
CONFIGURATION_AREAS: list[Area[Facts]] = [module.AREA for module in _MODULES]
SERVER_AREAS: list[Area[RunningServer]] = [running_server.AREA]
