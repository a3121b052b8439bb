"""``eisen-serve doctor``: what is wrong with a server, before it starts or while it runs.

* :mod:`.facts` - what is found out about a configuration and its machine, or a running server
* :mod:`.checks` - what is judged of that: each check is one function from facts to findings
* :mod:`.findings` - a finding, a check, the report of an examination
* :mod:`.examination` - the examinations
"""

from .checks import APPLICATION_AREAS, CONFIGURATION_AREAS, SCRIPT_AREAS, SERVER_AREAS
from .examination import examine_configuration, examine_script, examine_server
from .findings import ERROR, SEVERITIES, WARNING, Report

__all__ = [
    "APPLICATION_AREAS",
    "CONFIGURATION_AREAS",
    "ERROR",
    "SCRIPT_AREAS",
    "SERVER_AREAS",
    "SEVERITIES",
    "WARNING",
    "Report",
    "examine_configuration",
    "examine_script",
    "examine_server",
]
