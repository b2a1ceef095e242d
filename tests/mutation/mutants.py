"""Makes mutants of the operator's code with mutmut, in a folder of their own that holds the tests too.

A file of the folder's mutants/src holds each function in its first form and in every mutated one; the environment variable
MUTANT_UNDER_TEST says which is called.
"""

import ast
import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("tests", "crds", "docs", "examples", "charts", "README.md", "Dockerfile", "Makefile", "requirements", ".ci")
SETTINGS = """
[project]
name = "mutants"
version = "0"

[tool.pytest.ini_options]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
filterwarnings = ["ignore::pytest.PytestUnknownMarkWarning"]

[tool.mutmut]
source_paths = ["src"]
only_mutate = {modules}
track_dependencies = false
"""
MAKE = (
    "from mutmut.__main__ import copy_src_dir, create_mutants, setup_source_paths;"
    "copy_src_dir(); setup_source_paths(); create_mutants(2)"
)


def make_mutants(folder: Path, modules: Sequence[str]) -> None:
    """Fill the empty `folder` with the mutants of the modules that match a pattern of `modules`, and with the tests."""
    shutil.copytree(ROOT / "operator", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    run = folder / "mutants"
    run.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, run / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / name).exists():
            shutil.copy2(ROOT / name, run / name)
    (run / "operator").symlink_to("src")  # where tests look for the code that they run in other processes
    patterns = json.dumps([f"src/aletheia_operator/{one}" for one in modules])
    for place in (folder, run):
        (place / "pyproject.toml").write_text(SETTINGS.format(modules=patterns))
    subprocess.run([sys.executable, "-c", MAKE], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def names(folder: Path) -> Iterator[str]:
    """Names of the mutants that change more than the text of a string or a call of the log."""
    source = folder / "mutants" / "src"
    for file in source.rglob("*.py"):
        if not file.with_name(file.name + ".meta").exists():
            continue
        module = ".".join(file.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
        functions = {
            node.name: node
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        for name, node in functions.items():
            base, separator, number = name.partition("__mutmut_")
            original = functions.get(f"{base}__mutmut_orig")
            if separator and number != "orig" and original is not None and _essence(node) != _essence(original):
                yield f"{module}.{name}"


def function_of(mutant: str) -> str:
    """The name under which mutmut notes calls of the mutant's function."""
    return mutant.partition("__mutmut_")[0]


def difference(folder: Path, mutant: str) -> str:
    """What the mutant changes, as a diff."""
    command = [sys.executable, "-m", "mutmut", "show", mutant]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False).stdout


class _Essence(ast.NodeTransformer):
    """Leaves out what strings say, and what is said to the log."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant("") if isinstance(node.value, str) else node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        call = node.value
        with contextlib.suppress(AttributeError):
            if call.func.value.id == "log":  # type: ignore[attr-defined]
                return ast.Expr(ast.Constant("log"))
        return self.generic_visit(node)


def _essence(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return "".join(ast.dump(_Essence().visit(statement)) for statement in ast.parse(ast.unparse(node)).body[0].body)  # type: ignore[attr-defined]
