"""``config.properties`` as Java reads it, and as the launcher does.

Each line of the first table was compared with ``java.util.Properties`` of Java 17.
"""

from __future__ import annotations

import pytest

from eisen_deploy.serving.engines.torchserve.settings.known_properties import (
    PROPERTIES,
    parse_as_launcher,
)
from eisen_deploy.serving.runtime.torchserve.java_properties import parse

JAVA = {
    "an equals sign": (b"a=b", {"a": "b"}),
    "a colon": (b"a:b", {"a": "b"}),
    "a blank": (b"a b", {"a": "b"}),
    "blanks around": (b"  a \t=\f b", {"a": "b"}),
    "blanks behind stay": (b"a=b \t", {"a": "b \t"}),
    "two separators": (b"a==b", {"a": "=b"}),
    "a colon behind blanks": (b"a  :  b", {"a": "b"}),
    "no value": (b"a", {"a": ""}),
    "no name": (b"=b", {"": "b"}),
    "comments": (b"#a=1\n!b=2\n  #c=3\nd=4", {"d": "4"}),
    "no comment behind a value": (b"a=1 # one", {"a": "1 # one"}),
    "a comment has no continuation": (b"# a \\\nb=1", {"b": "1"}),
    "a continuation": (b"a=1\\\n   2", {"a": "12"}),
    "a continuation over a blank line": (b"a=1\\\n\nb=2", {"a": "1", "b": "2"}),
    "a continuation that looks like a comment": (b"a=1\\\n#2", {"a": "1#2"}),
    "two backslashes are one, and no continuation": (b"a=1\\\\\nb=2", {"a": "1\\", "b": "2"}),
    "three are one and a continuation": (b"a=1\\\\\\\n2", {"a": "1\\2"}),
    "a backslash at the end of the file": (b"a=1\\", {"a": "1"}),
    "a name in pieces": (b"a\\\n  b=1", {"ab": "1"}),
    "all line ends": (b"a=1\rb=2\r\nc=3\nd=4", {"a": "1", "b": "2", "c": "3", "d": "4"}),
    "escapes": (b"a=\\t\\n\\r\\f\\q\\\\", {"a": "\t\n\r\fq\\"}),
    "escaped separators": (b"a\\=\\:\\ b=c", {"a=: b": "c"}),
    "unicode": (b"a=\\u00e9\\u0041", {"a": "éA"}),
    "latin 1": (b"a=\xe9", {"a": "é"}),
    "a windows path loses its backslashes": (b"a=C:\\models", {"a": "C:models"}),
    "the last one counts": (b"a=1\na=2", {"a": "2"}),
    "a continuation of nothing": (b"\\\n\na=1", {"a": "1"}),
    "a comment behind a continuation of nothing": (b"\\\n#a=1\nb=2", {"b": "2"}),
    "an empty file": (b"", {}),
}


@pytest.mark.parametrize("case", JAVA)
def test_it_is_read_as_java_reads_it(case):
    raw, values = JAVA[case]
    assert parse(raw).values == values
    assert not parse(raw).problems


@pytest.mark.parametrize("raw", [b"a=\\u12", b"a=\\uzzzz", b"b=1\na=C:\\users", b"a\\u=1"])
def test_what_java_refuses_is_a_problem_with_its_line(raw):
    (problem,) = parse(raw).problems
    assert problem.startswith(f"line {1 + raw.count(10)}: ")


def test_a_property_knows_the_line_that_it_begins_in():
    parsed = parse(b"# one\na=1\\\n  2\n\nb=3\na=4")
    assert [(entry.name, entry.line) for entry in parsed.entries] == [("a", 2), ("b", 5), ("a", 6)]


def test_the_launcher_knows_lines_with_an_equals_sign_only():
    raw = b"a=1 \\\n  -Dx=2\nb:3\n c = 4 \n#d=5\n!e=6\nf\\=7"
    assert parse_as_launcher(raw) == {
        "a": "1 \\",
        "-Dx": "2",
        "c": "4",
        "!e": "6",
        "f\\": "7",
    }


@pytest.mark.torchserve
def test_the_launcher_is_torchserves_own(tmp_path):
    from ts.model_server import load_properties

    for number, (raw, _) in enumerate(JAVA.values()):
        path = tmp_path / f"{number}.properties"
        path.write_bytes(raw.replace(b"\xe9", b"\xc3\xa9"))
        assert parse_as_launcher(path.read_bytes()) == load_properties(str(path)), raw


def test_every_property_has_its_own_variable():
    variables = [known.variable for known in PROPERTIES.values() if known.variable]
    assert len(variables) == len(set(variables))
    assert PROPERTIES["token_expiration_min"].variable == "TS_TOKEN_EXPIRATION_TIME_MIN"
    assert PROPERTIES["max_request_size"].variable == "TS_MAX_REQUEST_SIZE"
