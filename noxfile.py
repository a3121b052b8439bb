"""The tasks of this repository. ``python3 tools/dev.py`` runs them without an installed nox."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
# The same pins apply to pip, and to everything that calls it, in every environment.
PINS = {"PIP_CONSTRAINT": str(ROOT / "tools" / "constraints.txt")}
OURS = [f"--editable=packages/{name}" for name in ("handler", "packaging", "client")]
EVERY_ENGINE = "--editable=packages/handler[export,ray,uvicorn]"
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
BY_FILE = ["--dist", "loadfile"]  # so that each module's fixtures run only once
# Three processes on two cores, because many tests wait.
QUICK = ["-n", "3", *BY_FILE, "-m", "not (slow or torchserve)"]
SLOW = ["-n", "2", *BY_FILE, "-m", "(slow or torchserve) and not alone"]
ALONE = ["-m", "alone"]
# The oldest versions that the client allows.
FLOORS = ["numpy==1.22.0", "requests==2.32.2", "urllib3==2.3.0"]
SITE = "docs/_build/html"
CODE = ["packages", "tests", "tools", "docs", "noxfile.py"]
TYPED_TOOLS = [
    *("tools/distributions.py", "tools/house.py", "tools/release.py"),
    "packages/client/hatch_build.py",
]
# Files that GitHub and Read the Docs read, by the schema that they follow.
HOSTED = {
    "github-workflows": [str(path) for path in sorted(ROOT.glob(".github/workflows/*.yml"))],
    "github-issue-forms": [".github/ISSUE_TEMPLATE/bug.yml", ".github/ISSUE_TEMPLATE/feature.yml"],
    "github-issue-config": [".github/ISSUE_TEMPLATE/config.yml"],
    "dependabot": [".github/dependabot.yml"],
    "readthedocs": [".readthedocs.yaml"],
}

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "docs", "tests"]


def group(name: str) -> tuple[str, ...]:
    """Return the requirements of a dependency group."""
    return nox.project.dependency_groups(PROJECT, name)


def install(session: nox.Session, *requirements: str) -> None:
    """Install into the session's environment under the pins, once: later runs need no network."""
    session.env.update(PINS)
    files = [ROOT / "tools" / "constraints.txt", *ROOT.glob("packages/*/pyproject.toml")]
    what = "\n".join([*requirements, *(file.read_text("utf-8") for file in sorted(files))])
    digest = hashlib.sha256(what.encode()).hexdigest()[:12]
    done = Path(session.virtualenv.location) / f"installed-{digest}"
    if not done.exists():
        session.install(*requirements, silent=False)  # which shows what is downloaded
        done.touch()


def build_docs(session: nox.Session) -> None:
    """Build the documentation as a site."""
    install(session, *OURS, EVERY_ENGINE, *group("docs"))
    session.run("sphinx-build", "-E", "-n", "-W", "--keep-going", "docs", SITE)


def run_tests(session: nox.Session, *arguments: str) -> None:
    """Run pytest; at Ctrl-C it has time to stop the servers that tests have started."""
    session.run("pytest", *arguments, interrupt_timeout=20.0)


@nox.session
def quickstart(session: nox.Session) -> None:
    """Train, pack, serve and query a brain segmentation on a real T1 volume."""
    install(session, *OURS, *group("quickstart"))
    session.run("python", "docs/examples/quickstart.py", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run every test, including those against a real TorchServe."""
    extras = ["--editable=packages/client[all]", EVERY_ENGINE]
    install(session, *OURS, *extras, *group("tests"))
    install(session, "--no-deps", "dicom2nifti")  # without its decoders, which users do not have
    if session.posargs:
        run_tests(session, *session.posargs)
        return
    run_tests(session, *QUICK)
    run_tests(session, *SLOW)
    run_tests(session, *ALONE)


@nox.session(venv_backend="none")
def quick(session: nox.Session) -> None:
    """Run the tests that need no server (three minutes), in the environment of ``tests``."""
    session.notify("tests", posargs=[*QUICK, *session.posargs])


@nox.session(venv_backend="none")
def tutorial(session: nox.Session) -> None:
    """Type the tutorial into an empty folder, its installation included: 4 minutes."""
    os.environ["TYPE_SET_UP"] = "1"
    session.notify("tests", posargs=["tests/e2e/test_tutorial.py", *session.posargs])


@nox.session
@nox.parametrize(
    "python,requirements",
    [("3.9", FLOORS), *((python, []) for python in ("3.9", "3.10", "3.11", "3.12", "3.13"))],
    ids=["oldest", "3.9", "3.10", "3.11", "3.12", "3.13"],
)
def client(session: nox.Session, requirements: list[str]) -> None:
    """Run the client's tests on each installed Python, and with its oldest requirements."""
    session.install("packages/client[all]", *group("client-tests"), *requirements)
    session.install("--no-deps", "nilearn")  # only its files are needed
    others = "--ignore=tests/client/cli/test_cli_torchserve.py"  # needs packaging and torch
    run_tests(session, *QUICK, others, "tests/client", *session.posargs)


@nox.session
def kserve(session: nox.Session) -> None:
    """Run an archive inside KServe's ModelServer; it and Ray require different libraries."""
    install(session, *OURS, *group("client-tests"), "kserve==0.21.0", "torch")
    run_tests(session, *(session.posargs or ["tests/e2e/test_kserve.py"]))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types and formatting."""
    install(session, *OURS, EVERY_ENGINE, *group("lint"))
    session.run("ruff", "check", *CODE)
    session.run("ruff", "format", "--check", *CODE)
    for package in ("client", "packaging", "serving"):
        session.run("mypy", "--package", f"eisen_deploy.{package}")
    for package in ("client", "packaging"):  # servers are for Linux and macOS
        session.run("mypy", "--platform", "win32", "--package", f"eisen_deploy.{package}")
    session.run("mypy", *TYPED_TOOLS)
    for schema, files in HOSTED.items():
        session.run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation, and check its links; a warning is an error."""
    build_docs(session)
    session.run("python", "-m", "site_checks.links", SITE, env={"PYTHONPATH": "tools"})


@nox.session
def screenshots(session: nox.Session) -> None:
    """Look at each page of the documentation in Chromium, in three widths."""
    build_docs(session)
    session.run("python", "-m", "site_checks", SITE, *session.posargs, env={"PYTHONPATH": "tools"})


@nox.session
def fuzz(session: nox.Session) -> None:
    """Fuzz the code that reads bytes from others: ``-- reply --runs 1000000`` (``tools/fuzz``)."""
    install(session, *group("fuzz"))
    # Without torch, which the fuzzed code does not need.
    install(session, "--no-deps", "--editable=packages/handler", "--editable=packages/client")
    session.run("python", "-m", "fuzz", *session.posargs, env={"PYTHONPATH": "tools"})


@nox.session
def ray_faults(session: nox.Session) -> None:
    """Let a Ray cluster fail under load: half an hour, or ``-- kills --short``."""
    install(session, *OURS, "--editable=packages/handler[ray]")
    session.run("python", "-m", "ray_faults", *session.posargs, env={"PYTHONPATH": "tools"})


@nox.session
def bundle(session: nox.Session) -> None:
    """Make a folder that installs the client without a network: ``-- --platform win_amd64``."""
    install(session, *group("bundle"))
    session.run("python", "tools/bundle.py", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build and check all distributions as for a release, into ``dist``, or one: ``-- client``."""
    install(session, *group("release"))
    session.run("python", "tools/distributions.py", *session.posargs)


@nox.session
def release(session: nox.Session) -> None:
    """Make the next version of a distribution: ``-- client 0.2.0 --dry-run``."""
    install(session, *group("release"))
    session.run("python", "tools/release.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Compare serving with other systems, and write the results into the documentation: an hour."""
    install(session, *OURS, *group("bench"))
    page, picture = "docs/serving-benchmark", "docs/images/serving-benchmark.png"
    written = [f"--page={page}.rst", f"--json={page}.json", f"--plot={picture}"]
    arguments = session.posargs or written
    session.run("python", "-m", "serving_benchmark", *arguments, env={"PYTHONPATH": "tools"})
