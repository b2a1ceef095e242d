"""LogQL that is confined to a namespace: accepted queries, refused queries, and that nothing else of a query changes."""

import random
import time

import pytest

from aletheia_operator.clients.errors import Rejected
from aletheia_operator.fetchers.loki.logql import confine, parse
from aletheia_operator.text.label_matchers import Matcher

CONFINED = [
    ('{app="a"}', '{app="a",namespace="shop"}'),
    ('  { app = "a" , pod =~ "b.*" }  ', '{app="a",pod=~"b.*",namespace="shop"}'),
    ('{namespace="bank"}', '{namespace="bank",namespace="shop"}'),
    ('{namespace=~".+"} |= "x"', '{namespace=~".+",namespace="shop"} |= "x"'),
    ('{app=`a"}`}', '{app="a\\"}",namespace="shop"}'),
    ('{app="a"} |= `{namespace="bank"}`', '{app="a",namespace="shop"} |= "{namespace=\\"bank\\"}"'),
    ('{app="a"} # }\n|= "x"', '{app="a",namespace="shop"} |= "x"'),
    ('{app="a"}|="x"!="y"|~"z"!~`q`', '{app="a",namespace="shop"}|="x"!="y"|~"z"!~"q"'),
    (
        '{app="a"} | json level="lvl", b | logfmt --strict | level="error" and (took >= 5.5s or size < 2KB)',
        '{app="a",namespace="shop"} | json level="lvl", b | logfmt --strict | level="error" and (took >= 5.5s or size < 2KB)',
    ),
    (
        '{app="a"} | line_format "{{.x}}" | label_format a=b | drop c, d="e" |> "<_> x" | decolorize | addr = ip("10.0.0.0/8")',
        '{app="a",namespace="shop"} | line_format "{{.x}}" | label_format a=b | drop c, d="e" |> "<_> x" | decolorize'
        ' | addr = ip("10.0.0.0/8")',
    ),
    ('{app="\\x61\\u0062"} |= "é"', '{app="ab",namespace="shop"} |= "é"'),
]
REFUSED = [
    "",
    "{",
    "{}",
    '{app="a"',
    '{app="a",}',
    '{"app"="a"}',
    "{app='a'}",
    '{app="a} |= "x"',
    '{app="a\n"}',
    '({app="a"})',
    'rate({app="a"}[5m])',
    'sum(count_over_time({app="a"}[5m]))',
    '{app="a"}[5m]',
    '{app="a"} or {namespace="bank"}',
    '{app="a"} |= "x" {namespace="bank"}',
    '{app="a"} /* " */ or {namespace="bank"}',
    '{app="a"} // "\n or {namespace="bank"} // "',
    '{app="a"} |= "x\\" or {namespace="bank"}',
    '{app="a"} |= \'{namespace="bank"}\'',
    '{app="a"} |= "\\q"',
    '{app="a"} |= `x',
    'variants(count_over_time({app="a"}[5m])) of ({app="a"}[5m])',
    '#{app="a"}',
    '{app="a"} ; {app="b"}',
    '{app="a" or app="b"}',
    '{app="a"} | x\u2028{app="b"}',
    '{ąpp="a"}',
]


@pytest.mark.parametrize(("query", "expected"), CONFINED, ids=[query for query, _ in CONFINED])
def test_a_query_for_log_lines_is_confined(query: str, expected: str) -> None:
    """Its selector gets the matcher, and its pipeline stays as it is."""
    assert confine(query, "namespace", "shop") == expected


@pytest.mark.parametrize("query", REFUSED)
def test_what_is_not_understood_is_refused(query: str) -> None:
    """The message says where, and that the DataSource is confined."""
    with pytest.raises(Rejected, match="confined by the label namespace"):
        confine(query, "namespace", "shop")


PIECES = (
    "{",
    "}",
    '"',
    "`",
    "'",
    "\\",
    "#",
    "\n",
    "/*",
    "*/",
    "//",
    "|=",
    " or ",
    "app",
    "=",
    '"a"',
    ",",
    "[5m]",
    "(",
    ")",
    " ",
)


def test_no_query_has_a_second_selector() -> None:
    """Of random queries, each accepted one has a single brace outside of strings, and parses with the forced matcher."""
    taken = 0
    for seed in range(20_000):
        chooser = random.Random(seed)
        query = '{app="a"}' + "".join(chooser.choices(PIECES, k=chooser.randint(1, 12)))
        try:
            confined = confine(query, "namespace", "shop")
        except Rejected:
            continue
        taken += 1
        assert outside_of_strings(confined).count("{") == 1, query
        assert parse(confined).matchers[-1] == Matcher("namespace", "=", b"shop")
    assert taken > 500


def outside_of_strings(query: str) -> str:
    """Return the query without strings in double quotes, read character by character."""
    left, inside, escaped = [], False, False
    for character in query:
        if inside:
            inside, escaped = escaped or character != '"', character == "\\" and not escaped
        elif character == '"':
            inside = True
        else:
            left.append(character)
    assert not inside
    return "".join(left)


@pytest.mark.parametrize("piece", ['"', "`", "\\", "#", " ", "{", "a", "--a", "|", "1", '"\\'])
def test_reading_is_linear(piece: str) -> None:
    """A megabyte of anything is read, or refused, in seconds: in quadratic time it would take hours."""
    began = time.process_time()
    for begin in ("", '{app="', '{app="a"}', '{app="a"} |= "'):
        try:
            parse(begin + piece * (1_000_000 // len(piece)))
        except ValueError:
            continue
    assert time.process_time() - began < 30
