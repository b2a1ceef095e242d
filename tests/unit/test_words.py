"""Docstrings, comments and pages are plain English, without constructions that a tired reader has to decode."""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.cluster.rig import ROOT

OPERATOR = sorted((ROOT / "operator").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
INSTEAD = {
    r"\bwhoever\b": "name the person or program",
    r"\b(in|into|from) the midst\b|\bin (their|its|whose) midst\b": "within, during, between",
    r"^Whose\b": "a noun: the identity that ..., the namespace of ...",
    r"\bnobody can tell\b": "is not known",
    r"\bby lot\b": "random",
    r"\bin the hands of\b|\bat hand\b": "known to, written by",
    r"\bhence\b|\bthereof\b|\btherein\b|\bwhereby\b|\bhitherto\b": "so, of it, in it",
    r"\bsuch as\b.*\bsuch as\b": "one example, or a list",
}
"""Constructions, and what to write instead."""
IN_PRODUCT = INSTEAD | {
    r"\bwhose\b": "with, of which, or a sentence of its own: a log with long lines",
    r"^(Who|Whom|Where)\b": "a noun or if: the identity that ..., if ...",
    r"\bwhere (it|there|nothing|none|no)\b": "if, or None if",
    r"\bsuch as\b": "for example, or a list",
    r"\b(is|are|was|be) told\b|\b(is|are|and) said\b|\btells? of\b": "is reported, the message has",
    r"\bwithout a word\b|\ball the same\b|\bfor want of\b": "without an error, still, without",
    r"\bby now\b|\bfor ever\b|\bfor good\b|\banew\b|\bunder way\b": "now, permanently, again, running",
    r"\bno one\b|\banybody\b|\bone's own\b": "nobody, everybody, your own",
    r"\bbut for\b|\bbe had\b|\bshall\b|\bastray\b": "except, be read, must, wrong",
}
"""The same for the operator and the pages, which users and more people read."""
VAGUE_NAMES = {"one", "said", "told", "asked", "held", "telling"}


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Yield the docstrings, also those of fields, and the comments of a module, with their lines, each on one line."""
    for node in ast.walk(ast.parse(text)):
        for statement in getattr(node, "body", ()) if not isinstance(node, ast.Lambda | ast.IfExp) else ():
            constant = statement.value if isinstance(statement, ast.Expr) else None
            if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
                yield statement.lineno, " ".join(constant.value.split())
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")


@pytest.mark.parametrize("path", OPERATOR, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_and_comments_are_plain(path: Path) -> None:
    """None has a construction with a plainer form."""
    assert_plain(prose(path.read_text()), IN_PRODUCT)


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_of_tests_are_plain(path: Path) -> None:
    """The same holds for tests, except for this module, which has the constructions."""
    if path != Path(__file__):
        assert_plain(prose(path.read_text()), INSTEAD)


@pytest.mark.parametrize("path", OPERATOR, ids=lambda path: str(path.relative_to(ROOT)))
def test_variables_are_named_after_what_they_are(path: Path) -> None:
    """No variable or parameter has a name that fits anything."""
    names = ast.walk(ast.parse(path.read_text()))
    found = [
        f"line {name.lineno}: {name.id if isinstance(name, ast.Name) else name.arg}"
        for name in names
        if isinstance(name, ast.Name | ast.arg) and (name.id if isinstance(name, ast.Name) else name.arg) in VAGUE_NAMES
    ]
    assert not found, f"name them after what they are: {', '.join(found)}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_are_plain(path: Path) -> None:
    """The same holds for README, the changelog and docs."""
    assert_plain(enumerate(path.read_text().splitlines(), start=1), IN_PRODUCT)


def assert_plain(texts: Iterable[tuple[int, str]], constructions: Mapping[str, str]) -> None:
    found = [
        f"line {line}: {text[:100]!r}: instead of {pattern}: {instead}"
        for line, text in texts
        for pattern, instead in constructions.items()
        if re.search(pattern, text, re.IGNORECASE if pattern[0] != "^" else 0)
    ]
    assert not found, "\n".join(found)
