"""A coverage-guided fuzzer of all that reads bytes from strangers: ``python -m fuzz --help``."""
