"""A coverage-guided fuzzer for the code that reads bytes from others: ``python -m fuzz --help``."""
