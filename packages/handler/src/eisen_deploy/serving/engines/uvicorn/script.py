"""The command line of uvicorn's workers as a shell script, each option and variable explained."""

from __future__ import annotations

import shlex

from eisen_deploy.serving.engines.environment.allocator import ALLOCATOR
from eisen_deploy.serving.engines.options import Options
from eisen_deploy.serving.engines.served_archives import ServedArchive

from .engine import count_workers

#: The name that ``eisen-serve config`` gives it.
NAME = "uvicorn.sh"
_PROGRAM = ["-m", "eisen_deploy.serving.cli", "run"]


def read_script(text: str) -> list[str] | None:
    """Return the arguments of ``eisen-serve run`` in such a script; ``None`` if it is none."""
    for line in text.splitlines():
        if line.startswith("exec "):
            words = shlex.split(line)
            if words[2:5] == _PROGRAM and "--engine" in words:
                return words[5:]
    return None


def render_script(
    archive: ServedArchive, options: Options, gpus: int, python: str, *, insecure: bool
) -> str:
    """Return a script that serves an archive with just these options."""
    workers = count_workers(archive, options, gpus)
    command = [python, *_PROGRAM, str(archive.path.absolute())]
    command += ["--engine", "uvicorn", "--host", options.host, "--port", str(options.port)]
    command += ["--workers", str(workers), "--max-body", str(options.max_body)]
    command += ["--response-timeout", str(options.response_timeout)]
    command += ["--startup-timeout", str(options.startup_timeout)]
    command += ["--python", python]
    if options.tls_cert is not None and options.tls_key is not None:
        command += ["--tls-cert", str(options.tls_cert), "--tls-key", str(options.tls_key)]
    if options.token_file is not None:
        command += ["--token-file", str(options.token_file)]
    own_key = options.token_auth and options.token_file is None
    command += [
        flag for flag, given in (("--token-auth", own_key), ("--insecure", insecure)) if given
    ]
    digest = f"# {archive.name} {archive.version}, sha-256 {archive.digest}"
    variables = [f"#   {each.name}={each.value}: {each.reason}" for each in ALLOCATOR]
    return "\n".join(
        [
            "#!/bin/sh",
            digest,
            f"# {workers} worker(s) on one port, each a process with the model on its main thread",
            "# and uvicorn (httptools, uvloop) on another. Their environment is the caller's, and:",
            *variables,
            f"exec {shlex.join(command)}",
            "",
        ]
    )
