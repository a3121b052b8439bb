"""Text on a terminal: aligned, readable, and never obeyed."""

from __future__ import annotations

import pytest

from eisen_deploy.client._shared.terminal import clean, columns, size


def test_columns_are_aligned():
    assert columns([("a", "bb"), ("ccc", ""), (1, "d")]) == ["a    bb", "ccc", "1    d"]
    assert columns([]) == []


@pytest.mark.parametrize(
    ("count", "text"),
    [
        *((0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_234_567, "1.2 MB")),
        *(
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (3 * 10**9, "3.0 GB"),
            (10**16, "10000.0 TB"),
        ),
    ],
)
def test_sizes(count, text):
    assert size(count) == text


def test_what_is_no_plain_character_is_escaped():
    assert clean("größe \x1b[0m\n\u202e") == r"größe \x1b[0m\n\u202e"
