"""Makes mutants of the operator's code with mutmut, in a separate folder that also has the tests.

A file of the folder's mutants/src has the original and every mutant of each function; the environment variable
MUTANT_UNDER_TEST selects which is called.
"""

import ast
import contextlib
import copy
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
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
WORDS = ("help", "metavar", "thread_name_prefix")
"""Arguments that only people read."""
Function = ast.FunctionDef | ast.AsyncFunctionDef
MAKE = (
    "from mutmut.__main__ import copy_src_dir, create_mutants, setup_source_paths;"
    "copy_src_dir(); setup_source_paths(); create_mutants({jobs})"
)


def make_mutants(folder: Path, modules: Sequence[str], jobs: int) -> None:
    """Fill the empty `folder` with the mutants of the modules that match a pattern of `modules`, and with the tests."""
    shutil.copytree(ROOT / "operator", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    run = folder / "mutants"
    run.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, run / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / name).exists():
            shutil.copy2(ROOT / name, run / name)
    (run / "operator").symlink_to("src")  # tests look here for code that they run in other processes
    patterns = json.dumps([f"src/aletheia_operator/{module}" for module in modules])
    for place in (folder, run):
        (place / "pyproject.toml").write_text(SETTINGS.format(modules=patterns))
    subprocess.run([sys.executable, "-c", MAKE.format(jobs=jobs)], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def sample(folder: Path, size: int, seed: int) -> tuple[int, list[str]]:
    """Return the number of mutants, and `size` of those that change more than the text of a string or a logging call."""
    every: list[tuple[str, Function, Function]] = []
    for file in sorted((folder / "mutants" / "src").rglob("*.py")):
        if file.with_name(file.name + ".meta").exists():
            every += _mutants_in(folder, file)
    random.Random(seed).shuffle(every)
    chosen: list[str] = []
    for name, mutated, original in every:
        if len(chosen) == size:
            break
        if _essence(mutated) != _essence(original):
            chosen.append(name)
    return len(every), sorted(chosen)


def _mutants_in(folder: Path, file: Path) -> list[tuple[str, Function, Function]]:
    """Yield each mutant of a file: its name, its function and the original."""
    module = ".".join(file.relative_to(folder / "mutants" / "src").with_suffix("").parts).removesuffix(".__init__")
    functions = {
        node.name: node
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "__mutmut_" in node.name
    }
    found = []
    for name, function in functions.items():
        base, _, number = name.partition("__mutmut_")
        if number != "orig" and f"{base}__mutmut_orig" in functions:
            found.append((f"{module}.{name}", function, functions[f"{base}__mutmut_orig"]))
    return found


def function_of(mutant: str) -> str:
    """Return the name under which mutmut records calls of the mutant's function."""
    return mutant.partition("__mutmut_")[0]


def difference(folder: Path, mutant: str) -> str:
    """Return the mutant's change as a diff."""
    command = [sys.executable, "-m", "mutmut", "show", mutant]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False).stdout


class _Essence(ast.NodeTransformer):
    """Removes texts and redundant arguments, so that mutants of these are recognised.

    Texts: strings, an option's help, a thread's name, log messages, and messages of AssertionErrors on unreachable paths.
    Redundant: a false `strict` of zip, and the byte order "big" of to_bytes.
    """

    def visit_Call(self, node: ast.Call) -> ast.AST:
        node.keywords = [keyword for keyword in node.keywords if keyword.arg not in WORDS]
        match node:
            case ast.Call(ast.Name("zip"), _, [ast.keyword("strict", ast.Constant(strict))]) if not strict:
                node.keywords = []
            case ast.Call(ast.Attribute(_, "to_bytes"), [size, ast.Constant("big")], _):
                node.args = [size]
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        match node.exc:
            case ast.Call(ast.Name("AssertionError")):
                return ast.Raise(ast.Name("AssertionError"))
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant("") if isinstance(node.value, str) else node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        call = node.value
        with contextlib.suppress(AttributeError):
            if call.func.value.id == "log":  # type: ignore[attr-defined]
                return ast.Expr(ast.Constant("log"))
        return self.generic_visit(node)


def _essence(function: Function) -> str:
    return "".join(ast.dump(_Essence().visit(copy.deepcopy(statement))) for statement in function.body)
