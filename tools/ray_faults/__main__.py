"""Show what becomes of requests while a Ray cluster fails: ``python -m ray_faults --help``.

Three nodes run in namespaces of the kernel, each with an address of its own. Linux only. The status
is 1 if anything was not as it has to be, and 77 if namespaces are not permitted here.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from . import lab
from .archives import Version, pack
from .cluster import running
from .scenarios import SCENARIOS
from .scenarios.scenario import Report, Size, show, store

#: So that what Ray's proxies answer themselves has a type.
_PROXY = {"RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "eisen_deploy.serving.ray:middlewares"}


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="ray_faults", description=__doc__)
    add, most = parser.add_argument, Size()
    add(
        "scenarios",
        nargs="*",
        choices=[*SCENARIOS, []],
        default=list(SCENARIOS),
        metavar="SCENARIO",
        help=f"all by default: {', '.join(SCENARIOS)}",
    )
    add("--threads", type=int, default=most.threads, help="default: %(default)s")
    add("--calls", type=int, default=most.calls, help="of each thread; default: %(default)s")
    add(
        "--seconds",
        type=float,
        default=most.seconds,
        help="over which the calls are spread; default: %(default)s",
    )
    add("--short", action="store_true", help="one strike of each kind")
    add("--json", type=Path, help="file for the figures")
    add("--keep-logs", type=Path, help="folder for the logs of all nodes")
    return parser.parse_args()


def main() -> int:
    """Run scenarios, and print their figures."""
    given = read_arguments()
    if not lab.is_inside():
        obstacle = lab.find_obstacle()
        if obstacle is not None:
            print(f"skipped: {obstacle}")
            return lab.SKIPPED
        return lab.run_inside(sys.argv[1:])
    lab.set_up()
    size = Size(given.threads, given.calls, given.seconds, given.short)
    reports = []
    for _, names in groupby(given.scenarios, lambda name: SCENARIOS[name].setting):
        reports += run(list(names), size, given.keep_logs)
    if given.json:
        given.json.write_text(json.dumps([asdict(each) for each in reports], indent=1) + "\n")
    return 1 if any(report.problems for report in reports) else 0


def run(names: Sequence[str], size: Size, keep_logs: Path | None) -> list[Report]:
    """Run scenarios that share a cluster, and print their figures."""
    scenarios = [SCENARIOS[name] for name in names]
    setting = scenarios[0].setting
    with setting.beside() as obstacle:
        if obstacle is not None:
            reports = [Report(", ".join(names), figures={"skipped": obstacle})]
            show(reports[0])
            return reports
        variables, logs = {**_PROXY, **setting.variables}, keep_logs and keep_logs / names[0]
        with ThreadPoolExecutor(1) as beside:
            versions = beside.submit(pack_versions, max(each.versions for each in scenarios))
            with running(variables, setting.head_variables, logs) as cluster:
                return [
                    report
                    for each in scenarios
                    for report in each.run(cluster, versions.result()[: each.versions], size)
                ]


def pack_versions(count: int) -> list[Version]:
    """Pack so many versions of the model into the store, unless they are there."""
    return [pack(store(), number) for number in range(1, count + 1)]


if __name__ == "__main__":
    sys.exit(main())
