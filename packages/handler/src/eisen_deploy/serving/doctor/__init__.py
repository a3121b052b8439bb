"""``eisen-serve doctor``: what is wrong with a TorchServe, before it starts or while it runs.

A check is one function from facts to findings; to add one is to write that function, with the
decorator of its area.

* :mod:`.findings` - a finding, a check, the report of an examination
* :mod:`.examination` - the two examinations, each a line: gather the facts, run the checks
* :mod:`.properties`, :mod:`.known_properties` - ``config.properties`` as both of its readers read
  it; the properties that there are
* :mod:`.configuration` - the value that each property has in the end
* :mod:`.archives`, :mod:`.environment`, :mod:`.running`, :mod:`.facts` - what surrounds it
* :mod:`.file_checks`, :mod:`.access_checks`, :mod:`.capacity_checks`, :mod:`.environment_checks`,
  :mod:`.archive_checks` - the checks of a configuration
* :mod:`.asking`, :mod:`.tls`, :mod:`.server` - a running server, asked by HTTP
* :mod:`.live_checks` - the checks of a running server
"""

from .examination import AREAS, examine_configuration, examine_server
from .findings import ERROR, NOTE, SEVERITIES, WARNING, Check, Finding, Report

__all__ = [
    "AREAS",
    "ERROR",
    "NOTE",
    "SEVERITIES",
    "WARNING",
    "Check",
    "Finding",
    "Report",
    "examine_configuration",
    "examine_server",
]
