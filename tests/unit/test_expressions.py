"""Expressions of tenants: what they match, what is refused, and that none blocks the event loop."""

import time

import pytest

from aletheia_operator.api.expressions import compile_expression, is_expression

LONGEST = 256  # characters, as the API says
MOST = 21  # in one Investigation


@pytest.mark.parametrize(
    ("expression", "name", "found"),
    [
        pytest.param("^app", "app-1", True, id="a beginning"),
        pytest.param("sidecar", "my-sidecar-1", True, id="anywhere"),
        pytest.param("^app$", "app-1", False, id="a whole name"),
        pytest.param(r"\d+$", "app-17", True, id="digits"),
        pytest.param("(?i)APP", "app", True, id="any case"),
        pytest.param(r"\x61pp", "app", True, id="a character by its number"),
        pytest.param(r"a\\pp", "app", False, id="a backslash"),
    ],
)
def test_an_expression_is_searched_anywhere(expression: str, name: str, found: bool) -> None:
    """As in RE2."""
    assert bool(compile_expression(expression).search(name)) == found


@pytest.mark.parametrize("expression", ["(", "a**b(", r"\pL", r"\PN+", "[é]", r"\x{10ffff}", "(.{30}){9999}"])
def test_what_is_no_expression_of_ascii_is_refused(expression: str) -> None:
    """Invalid or too large expressions, and character classes that names of containers do not need."""
    assert not is_expression(expression)


PIECES = [
    r"\pL", r"(?i)\pL", r"[\pL\pN]", r"\W", r"(?i)\W", "(?i)[^a]", "(a?){60}", "(.{9}){9}", "(?:.*)*", "(x+x+)+y",
    "(((((a*)*)*)*)*)*", r"[^\x00-\x{ffff}]", "(?i)[^a-z]", "a|", r"\b\B", "(?i)[k-s]",
]  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_no_expressions_hold_the_others_up(piece: str) -> None:
    """The maximum number of the longest expressions of an Investigation takes less than the shortest pause that counts."""
    expressions = [(piece * LONGEST)[: LONGEST - number] for number in range(MOST)]
    began = time.thread_time()
    for expression in expressions:
        if is_expression(expression):
            compile_expression(expression).search("x" * 63)
    assert time.thread_time() - began < 0.25
