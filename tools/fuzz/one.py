"""Fuzz one target under atheris: ``python -m fuzz.one TARGET [options of libFuzzer] FOLDER...``."""

from __future__ import annotations

import sys
import time

import atheris

with atheris.instrument_imports(include=["eisen_deploy"]):
    from fuzz import targets

#: CPU seconds for one input of at most some kilobytes.
_TOO_LONG = 1.0


def main() -> None:
    """Run until libFuzzer ends this process; it exits with an error where something is found."""
    program, name, *options = sys.argv
    target = targets.TARGETS[name]

    def run(data: bytes) -> None:
        start = time.process_time()
        target(data)
        if time.process_time() - start > _TOO_LONG:
            raise targets.BrokenPromise("the target took too long")

    atheris.Setup([program, *options], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
