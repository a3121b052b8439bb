"""The driver of a local Ray: starts it, deploys archives on it, and watches them.

Started by :mod:`.launching` with its settings as JSON in one argument. What becomes of it is said
on the descriptor ``link``, see :mod:`eisen_deploy.serving.engines.processes.supervision`.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import re
import signal
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence

import ray
from ray import serve

from eisen_deploy.serving.engines.processes.link import Link
from eisen_deploy.serving.ray import Arguments, build

from .daemons import Daemons, DaemonsEnded
from .work import Work

_log = logging.getLogger("eisen_deploy.serving")

#: The exit status of a driver whose Ray ended, and whose archives were refused.
FAILED = 1
REFUSED = 3

_APPLICATION = "eisen-deploy"
_TICK = 1.0
_POLL = 0.1
#: A line that names an exception, as a traceback ends.
_RAISED = re.compile(r"^(?:[A-Za-z_]\w*\.)*([A-Z]\w*): (.+)$", re.MULTILINE)
#: What our code raises for an archive that cannot be served.
_OURS = ("LoadFailed", "SelfTestFailed", "NotVerified", "BadArchives")


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM, and return the exit status.

    :param arguments: a :class:`Work` as JSON.
    """
    work = Work(**json.loads(arguments[0]))
    link, daemons = Link(work.link), Daemons(work)
    os.dup2(2, 1)
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(message)s")
    try:
        daemons.start()
        ray.init(daemons.address, namespace="serve", log_to_driver=False)
        _deploy(work)  # until then, Ray's own handlers of signals end this
    except Exception as error:  # noqa: BLE001 - whatever it is, it cannot be served
        _log.exception("the archives cannot be served")
        link.say(refused=explain(error, _read_reports()))
        return REFUSED
    else:
        return _watch(daemons, link)
    finally:
        daemons.stop()


def explain(error: Exception, reports: str = "") -> str:
    """Return the reason for which Ray does not deploy archives.

    Ray's text is a report with a traceback; what our code raised is the last line of that.

    :param reports: what Ray says of the deployments, where the error itself says only their names.
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", f"{reports}\n{error}")
    raised = _RAISED.findall(text)
    if isinstance(error, DaemonsEnded) or not raised:
        return str(error)
    ours = [said for name, said in raised if name in _OURS]
    return ours[-1] if ours else ": ".join(raised[-1])


def _read_reports() -> str:
    """Return what Ray says of the deployments that failed; nothing where it does not answer."""
    try:
        deployments = serve.status().applications[_APPLICATION].deployments
    except Exception:  # noqa: BLE001 - the error itself is what is reported then
        return ""
    return "\n".join(each.message for each in deployments.values())


def _deploy(work: Work) -> None:
    """Start Ray Serve, and wait until each model answers; it has predicted its sample before.

    :raises Exception: what Ray raises where that fails.
    """
    quiet = {"enable_access_log": False, "logs_dir": work.logs}
    serve.start("HeadOnly", dict(work.http_options), logging_config=quiet)
    application = build(Arguments.model_validate(work.arguments))
    serve.run(application, name=_APPLICATION, route_prefix="/", logging_config=quiet)
    while not all(map(_answers, work.ready_urls)):
        time.sleep(_POLL)


def _answers(url: str) -> bool:
    """Whether an address on this machine is answered with 200."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE  # it is this machine
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusting)
    )
    try:
        with opener.open(url, timeout=10) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _watch(daemons: Daemons, link: Link) -> int:
    """Say that this lives and what becomes of the replicas, until it is asked to end."""
    ended = _heed_signals()
    link.say(ready=os.getpid())
    before = _list_replicas()
    while not ended.wait(_TICK):
        try:
            daemons.check()
            now = _list_replicas()
        except DaemonsEnded:
            _log.exception("nothing is served any more")
            return FAILED
        except Exception:  # noqa: BLE001 - Serve starts again what keeps its state, and goes on
            _log.exception("Ray Serve does not say how it is")
            continue  # silence for too long ends this process
        for name, said in now.items():
            if said != before.get(name):
                link.say(say=f"{name}: {said}")
        before = now
        if not link.say(alive=True):  # killed, and its guardian too
            break
    serve.delete(_APPLICATION)  # returns once what was begun is answered
    return 0


def _heed_signals() -> threading.Event:
    """Return what is set once this process is asked to end."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    return ended


def _list_replicas() -> dict[str, str]:
    """Return for each deployment how many of its replicas are in which state."""
    deployments = serve.status().applications[_APPLICATION].deployments
    return {
        name: ", ".join(
            f"{count} replica(s) {str(state).rpartition('.')[2].lower()}"
            for state, count in sorted(each.replica_states.items())
        )
        for name, each in deployments.items()
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
