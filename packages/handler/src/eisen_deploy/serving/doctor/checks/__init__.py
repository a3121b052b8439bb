"""What is judged of the facts: one module for each area, one function for each check.

To add a check is to write its function, with the decorator of its area.
"""

from __future__ import annotations

from eisen_deploy.serving.doctor.facts.application import Application
from eisen_deploy.serving.doctor.facts.gathering import Facts
from eisen_deploy.serving.doctor.facts.running_server import RunningServer
from eisen_deploy.serving.doctor.facts.uvicorn_script import UvicornScript
from eisen_deploy.serving.doctor.findings import Area

from . import (
    access,
    application,
    archives,
    capacity,
    properties,
    running_server,
    surroundings,
    uvicorn_script,
)

_MODULES = (properties, access, capacity, surroundings, archives)
#: The checks of a configuration of TorchServe and of a running one, in the order in which they run.
CONFIGURATION_AREAS: list[Area[Facts]] = [module.AREA for module in _MODULES]
SERVER_AREAS: list[Area[RunningServer]] = [running_server.AREA]
#: Those of uvicorn: of a script that starts it, and of a server that runs.
SCRIPT_AREAS: list[Area[UvicornScript]] = [uvicorn_script.AREA]
APPLICATION_AREAS: list[Area[Application]] = [application.AREA]
