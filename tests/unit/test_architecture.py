"""docs/architecture.md describes the tree as it is, and the tree stays readable."""

import ast
import re
import statistics
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.rig import ROOT

SOURCE = ROOT / "operator" / "aletheia_operator"
PAGE = ROOT / "docs" / "architecture.md"
MODULES = sorted(SOURCE.rglob("*.py"))
MODULE_LINES, CLASS_LINES, FUNCTION_LINES, MEDIAN_LINES = 350, 200, 50, 110

Defined = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def name_of(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def rooms() -> Iterator[str]:
    """Every package, and every module beside them, as the page writes them."""
    for path in sorted(SOURCE.iterdir()):
        if (path / "__init__.py").exists():
            yield f"{path.name}/"
        elif path.suffix == ".py" and path.name != "__init__.py":
            yield path.name


@pytest.mark.parametrize("room", list(rooms()))
def test_the_page_has_every_room(room: str) -> None:
    """The page's tree has a line for each package and module."""
    tree = PAGE.read_text().split("```")[1]
    assert re.search(rf"^ +{re.escape(room)} ", tree, re.MULTILINE), f"docs/architecture.md has no line for {room}"


def test_the_page_has_no_room_that_is_gone() -> None:
    """Every package in the page's tree, and every module in a walk, exists."""
    text = PAGE.read_text()
    named = set(re.findall(r"^ {4}([a-z_]+(?:/|\.py)) ", text.split("```")[1], re.MULTILINE))
    assert named <= set(rooms())
    for path in re.findall(r"`([a-z_]+(?:/[a-z_0-9]+)*\.py)`", text):
        assert (SOURCE / path).exists(), f"docs/architecture.md names {path}"


def test_no_room_is_left_out_of_the_contract_on_kopf() -> None:
    """All but the handlers are kept from kopf; the command line starts them, so it has a contract of its own."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    kept_from_kopf = {
        name.removeprefix("aletheia_operator.")
        for contract in contracts
        if "kopf" in contract.get("forbidden_modules", ())
        for name in contract["source_modules"]
    }
    assert kept_from_kopf == {room.removesuffix("/").removesuffix(".py") for room in rooms()} - {"handlers"}


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.name)
def test_pages_name_modules_that_exist(page: Path) -> None:
    """A module that was renamed or removed is renamed or removed in every page."""
    for path in re.findall(r"`((?:[a-z_]+/)+[a-z_0-9]+\.py)`", page.read_text()):
        assert any((folder / path).exists() for folder in (SOURCE, ROOT, ROOT / "tests")), f"{page.name} names {path}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_has_a_docstring_and_a_readable_length(path: Path) -> None:
    """Its classes and functions are short too; the docstring of a longer one gives the reason."""
    text = path.read_text()
    module = ast.parse(text)
    if text.strip():
        assert ast.get_docstring(module), "no docstring"
    assert len(text.splitlines()) <= MODULE_LINES
    for node in ast.walk(module):
        if isinstance(node, Defined):
            most = CLASS_LINES if isinstance(node, ast.ClassDef) else FUNCTION_LINES
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= most or "long because" in " ".join((ast.get_docstring(node) or "").split()), (
                f"{node.name} has {lines} lines"
            )


def test_most_modules_are_short() -> None:
    """The median fits on two screens."""
    assert statistics.median(len(path.read_text().splitlines()) for path in MODULES) <= MEDIAN_LINES


@pytest.mark.parametrize("kind", ["unit", "integration", "e2e"])
def test_test_modules_do_not_import_each_other(kind: str) -> None:
    """Shared code is in tests/support, or in a module without tests."""
    for path in (ROOT / "tests" / kind).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                assert not re.search(r"^tests\.\w+\.test_", node.module), f"{path.name} imports {node.module}"


@pytest.mark.parametrize("path", [path for path in MODULES if name_of(path) != "clients/errors.py"], ids=name_of)
def test_the_meaning_of_an_http_status_is_in_one_table(path: Path) -> None:
    """No module compares a status with a number: `clients/errors.py` has a name for each meaning."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            names = [getattr(side, "attr", getattr(side, "id", "")) for side in sides]
            numbers = [part.value for side in sides for part in ast.walk(side) if isinstance(part, ast.Constant)]
            decided = any(name in ("status", "status_code") for name in names) and any(
                isinstance(number, int) and 100 <= number < 600 for number in numbers
            )
            assert not decided, f"line {node.lineno}: name the statuses in clients/errors.py"
