"""The attack table in docs/threat-model.md: each test that it names exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "threat-model.md").read_text()
ROWS = [line for line in PAGE.split("## The attack table")[1].split("\n## ")[0].splitlines() if line.startswith("| ")][1:]


def test_the_table_has_rows() -> None:
    """There is a row for each kind of attack, with at least one test."""
    assert len(ROWS) >= 25
    assert not [row for row in ROWS if "::test_" not in row]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2:40])
def test_each_attack_is_tried(row: str) -> None:
    """By the tests that its row names."""
    for module, test in re.findall(r"`([\w/]+[.]py)::(\w+)`", row):
        text = (ROOT / "tests" / module).read_text()
        assert re.search(rf"^(async )?def {test}\(", text, re.MULTILINE), f"{module} has no {test}"


def test_each_test_of_the_attacks_module_is_named() -> None:
    """The page names all tests with a real API server, except the one that shows what others may do."""
    text = (ROOT / "tests" / "integration" / "test_attacks.py").read_text()
    missing = [name for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE) if f"::{name}`" not in PAGE]
    assert missing == ["test_who_may_read_it_may_ask_for_it"]
