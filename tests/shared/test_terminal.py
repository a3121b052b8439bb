"""Text on a terminal: aligned, readable, and never obeyed."""

from __future__ import annotations

import logging
import warnings
from types import SimpleNamespace

import pytest

from eisen_deploy.client._shared.command import program
from eisen_deploy.client._shared.command.terminal import align_columns, format_size, say
from eisen_deploy.client._shared.printable import clean


def test_columns_are_aligned():
    assert align_columns([("a", "bb"), ("ccc", ""), (1, "d")]) == ["a    bb", "ccc", "1    d"]
    assert align_columns([]) == []


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
    assert format_size(count) == text


def test_all_but_plain_characters_are_escaped():
    assert clean("größe \x1b[0m\n\u202e") == r"größe \x1b[0m\n\u202e"


OBEYED = {
    "C0": "\0\x07\x08\t\x0b\x0c\r\x1b\x1c\x1e",
    "DEL and C1": "\x7f\x80\x85\x9b\x9d",
    "bidirectional": "\u061c\u200e\u200f\u202a\u202e\u2066\u2069",
    "line separators": "\u2028\u2029",
    "invisible": "\u00ad\u200b\u200d\u2060\ufeff\u034f\u115f\u3164\ufe0f\uffa0\U000e0041\U000e0101",
    "surrogates": "\ud800\udfff",
    "spaces that look like one": "\u00a0\u2003\u3000",
}


@pytest.mark.parametrize("kind", OBEYED)
def test_characters_that_a_terminal_obeys_or_hides_are_escaped(kind, capsys):
    for char in OBEYED[kind]:
        shown = clean(f"a{char}b")
        assert shown.isprintable()
        assert shown.isascii()
        assert shown == ascii(f"a{char}b")[1:-1]
    say(f"one{OBEYED[kind]}\ntwo")
    first, second = capsys.readouterr().out.removesuffix("\n").split("\n")
    assert first.isprintable()
    assert second == "two"


def test_ordinary_text_is_not_escaped():
    text = "größe 肝臓 печень كبد e\u0301 C:\\model"
    assert clean(text) == text


# --- what the programs print --------------------------------------------------------------


@pytest.fixture
def program_of(capsys):
    """Run a program whose command is a function: ``program_of(function, *arguments) -> err``."""

    def call(function, *arguments):
        def add_parser(commands):
            parser = commands.add_parser("do")
            parser.add_argument("file", nargs="*")
            return parser

        def fail(error, debug):
            if debug:
                program.print_traceback(error)
            program.complain("prog", [program.explain_error(error)])
            return 2

        module = SimpleNamespace(add_parser=add_parser, run=function)
        parser = program.Parser(prog="prog")
        program.add_commands(parser, "no-distribution", [module])
        program.run(parser, ["do", *arguments], fail)
        return capsys.readouterr().err

    return call


def raises(error):
    def run(_):
        raise error

    return run


def warns(_):
    warnings.warn("DICOM says \x1b[2J\u202e", UserWarning, stacklevel=1)
    return 0


def logs(_):
    logging.getLogger("some.library").warning("header %s", "\x1b]0;pwn\x07\u2028")
    return 0


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        (raises(ValueError("\x1b[31m\x9b")), [], r"unexpected ValueError: \x1b[31m\x9b"),
        (raises(OSError(2, "No file", "a\nb\x1b")), [], r"prog: a\nb\x1b: No file"),
        (raises(KeyError("\u202e")), ["--debug"], r"KeyError: '\u202e'"),
        (lambda _: 0, ["--\x1b[31m.mar"], r"unrecognized arguments: --\x1b[31m.mar"),
        (warns, [], r"UserWarning: DICOM says \x1b[2J\u202e"),
        (logs, [], r"header \x1b]0;pwn\x07\u2028"),
    ],
    ids=["error", "file", "traceback", "argument", "warning", "log"],
)
def test_what_errors_and_libraries_quote(program_of, monkeypatch, function, arguments, expected):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as without pytest
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        told = program_of(function, *arguments)
    assert expected in told
    assert told.replace("\n", "").isprintable()
