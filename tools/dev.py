"""Run a task of this repository on a machine that has only Python 3.10 or later.

``python3 tools/dev.py quickstart`` makes a private environment with nox (once) and runs the session
``quickstart`` of ``noxfile.py``; ``python3 tools/dev.py --help`` explains what there is.

Any Python can read this file, so that an old one says what it lacks: no annotations, no f-strings.
"""

import os
import signal
import subprocess
import sys

OLDEST = (3, 10)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ENVIRONMENT = os.path.join(ROOT, ".nox", "nox")
BINARIES = "Scripts" if os.name == "nt" else "bin"
PYTHON = os.path.join(ENVIRONMENT, BINARIES, "python.exe" if os.name == "nt" else "python")
REQUIREMENT = "nox==2026.10.20"
INTERRUPTED = 130
# How long what was interrupted may take to stop its servers and to remove its files.
GRACE_SECONDS = 30

HELP = """\
usage: python3 tools/dev.py TASK [TASK ...] [-- ARGUMENT ...]

  quickstart   train, pack, serve and query a model: 3 minutes, 4 GB of disk space
  tests        every test, those against real servers included: 50 minutes on two cores, 15 GB
  quick        the tests that need no server: 3 minutes
  lint         style and types: 1 minute
  docs         this documentation as a site, into docs/_build/html: 1 minute
  build        the distributions, into dist/, each tried in an environment of its own: 4 minutes

The first run of a task installs what it needs under .nox/ and .cache/, which takes 1 to 3 minutes
more and needs a package index (pip's configuration applies); later runs need no network, but for
build, which installs what it has built. Arguments after -- go to the task:
python3 tools/dev.py tests -- tests/serving -k npy

python3 tools/dev.py --list shows all tasks; other options go to nox.
"""


def main(arguments):  # type: (list[str]) -> int
    """Run the nox sessions with these names; arguments that begin with a dash go to nox."""
    if sys.version_info < OLDEST:
        return explain_old_python()
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(HELP)
        return 0
    options = arguments if arguments[0].startswith("-") else ["--session"] + arguments
    try:
        if not is_installed():
            install()
        return run([PYTHON, "-m", "nox"] + options)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; everything that was started has ended\n")
        return INTERRUPTED
    except subprocess.CalledProcessError as error:
        sys.stderr.write("setting up failed (exit status {}): see above\n".format(error.returncode))
        return 1


def explain_old_python():  # type: () -> int
    """Say which Python is needed."""
    found = "{}.{}".format(*sys.version_info[:2])
    wanted = "{}.{}".format(*OLDEST)
    text = "tools/dev.py needs Python {} or later, and this is {} ({}): run it by another one\n"
    sys.stderr.write(text.format(wanted, found, sys.executable))
    return 2


def is_installed():  # type: () -> bool
    """Whether the environment exists and is complete."""
    probe = "import importlib.metadata as m; print('nox==' + m.version('nox'))"
    try:
        said = subprocess.check_output([PYTHON, "-c", probe], stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return False
    return said.decode("ascii").strip() == REQUIREMENT


def install():  # type: () -> None
    """Make the environment with nox."""
    import venv  # noqa: PLC0415 - old Pythons have none

    sys.stdout.write("setting up nox in {}\n".format(os.path.relpath(ENVIRONMENT)))
    sys.stdout.flush()
    venv.create(ENVIRONMENT, with_pip=True, clear=True)
    pip = [PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", REQUIREMENT]
    if run(pip) != 0:
        raise subprocess.CalledProcessError(1, pip)


def run(command):  # type: (list[str]) -> int
    """Run a program, and return its exit status; at Ctrl-C all that it has started ends first."""
    # A terminal interrupts all that it sees; otherwise a group of its own can be interrupted.
    is_group = os.name != "nt" and not sys.stdin.isatty()
    for number in (signal.SIGINT, signal.SIGTERM):  # which a shell's background jobs ignore
        signal.signal(number, signal.default_int_handler)
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=is_group)
    try:
        return process.wait()
    except KeyboardInterrupt:
        if is_group:
            os.killpg(process.pid, signal.SIGINT)
        end(process)
        raise


def end(process):  # type: (subprocess.Popen) -> None
    """Wait until an interrupted process has stopped what it started; end it by force if need be."""
    try:
        process.wait(GRACE_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
