"""The text of ``log4j2.xml``: what TorchServe writes, where, and how much at most.

Each file is rotated at its size and few are kept, so the disk they take is bounded. Log4j goes on
without writing where a disk is full.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.sax.saxutils import quoteattr

#: What the server itself says, and what the workers print: files of the folder ``logs``.
SERVER_LOG = "server.log"
MODEL_LOG = "models.log"
ACCESS_LOG = "access.log"

_FOLDER = "${env:LOG_LOCATION:-logs}"
_SIZE_MB = 20
_KEPT = 3

_FILE = """\
    <RollingFile name="{name}" fileName="{path}" filePattern="{path}.%i">
      <PatternLayout pattern="%d{{ISO8601}} [%-5p] %t %c - %m%n"/>
      <Policies><SizeBasedTriggeringPolicy size="{size} MB"/></Policies>
      <DefaultRolloverStrategy max="{kept}"/>
    </RollingFile>
"""

_TEXT = """\
<?xml version="1.0" encoding="UTF-8"?>
<!-- Files of at most {size} MB, {kept} old ones of each. The workers' lines stay at INFO:
     TorchServe hands over their tracebacks so, and a model's own errors are among them. -->
<Configuration status="error">
  <Appenders>
{files}  </Appenders>
  <Loggers>
    <Logger name="MODEL_LOG" level="info" additivity="false"><AppenderRef ref="models"/></Logger>
    <Logger name="ACCESS_LOG" level={access} additivity="false"><AppenderRef ref="access"/></Logger>
    <Logger name="MODEL_METRICS" level="off"/>
    <Logger name="TS_METRICS" level="off"/>
    <Logger name="io.netty" level="error"/>
    <Logger name="org.apache" level="off"/>
{loggers}    <Root level="warn"><AppenderRef ref="server"/></Root>
  </Loggers>
</Configuration>
"""


def render(levels: Mapping[str, str]) -> str:
    """Return the text of ``log4j2.xml``.

    The files go to the folder that the environment variable ``LOG_LOCATION`` names, or to ``logs``.

    :param levels: of loggers by name.
    """
    files = {"server": SERVER_LOG, "models": MODEL_LOG, "access": ACCESS_LOG}
    appenders = [
        _FILE.format(name=name, path=f"{_FOLDER}/{file}", size=_SIZE_MB, kept=_KEPT)
        for name, file in files.items()
    ]
    loggers = [
        f"    <Logger name={quoteattr(name)} level={quoteattr(level)}/>\n"
        for name, level in levels.items()
        if name != "ACCESS_LOG"
    ]
    return _TEXT.format(
        files="".join(appenders),
        loggers="".join(loggers),
        access=quoteattr(levels.get("ACCESS_LOG", "warn")),
        size=_SIZE_MB,
        kept=_KEPT,
    )
