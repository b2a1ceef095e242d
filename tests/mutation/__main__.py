"""How many faults the unit tests notice: `python -m tests.mutation`, with mutmut on a sample of its mutants.

mutmut changes one place of the code at a time and runs the unit tests that reach it; a mutant that passes them all is a fault
that nobody would notice. The sample is the same for the same seed and code. Mutants that change nothing but the text of a
string, or a call of the log, are left out.
"""

import argparse
import ast
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("tests", "crds", "docs", "examples", "charts", "README.md", "Dockerfile", "Makefile", "requirements", ".ci")
KILLED = frozenset({1, 3, 24, 36, 152, 255, -24, -9, -11})  # a test failed, timed out or crashed: see mutmut's exit codes
SETTINGS = """
[project]
name = "mutants"
version = "0"

[tool.pytest.ini_options]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
addopts = "-p no:cacheprovider"
filterwarnings = ["ignore::pytest.PytestUnknownMarkWarning"]

[tool.mutmut]
source_paths = ["src"]
only_mutate = {modules}
also_copy = {copied}
pytest_add_cli_args_test_selection = ["tests/unit"]
pytest_add_cli_args = ["--ignore=tests/unit/test_crash_safety.py", "--ignore=tests/unit/test_chart.py"]
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the mutants that survived and the share that was noticed; 1 when it is below --at-least."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", default=["*"], help="patterns below aletheia_operator/, such as session/*")
    parser.add_argument("--sample", type=int, default=200, help="mutants to try (default: 200)")
    parser.add_argument("--seed", type=int, default=10, help="chooses the sample (default: 10)")
    parser.add_argument("--at-least", type=int, default=0, metavar="PERCENT", help="fail below this share")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        place = Path(folder)
        _prepare(place, options.modules)
        _mutmut(place, "none")  # makes them all, and measures which tests reach them
        every = sorted(_mutants(place))
        sample = sorted(random.Random(options.seed).sample(every, min(options.sample, len(every))))
        print(f"{len(every)} mutants, of which {len(sample)} are tried with seed {options.seed}", flush=True)
        words = _mutmut(place, *sample)
        outcomes = _outcomes(place)
        if all(outcomes.get(name) is None for name in sample):
            print(words)
            return 1
        noticed = [name for name in sample if outcomes.get(name) in KILLED]
        for name in sorted(set(sample) - set(noticed)):
            print(f"\nnot noticed ({'no test' if outcomes.get(name) == 33 else outcomes.get(name)}): {name}")
            print(_mutmut(place, name, command="show"))
    share = 100 * len(noticed) / len(sample)
    print(f"\n{len(noticed)} of {len(sample)} mutants noticed: {share:.1f} %")
    return int(share < options.at_least)


def _prepare(place: Path, modules: Sequence[str]) -> None:
    shutil.copytree(ROOT / "operator", place / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / name).exists():
            shutil.copy2(ROOT / name, place / name)
    (place / "mutants" / "src").mkdir(parents=True)  # Python forgets a path that is not there when it starts
    (place / "mutants" / "operator").symlink_to("src")  # where tests look for the code that they run in other processes
    patterns = json.dumps([f"src/aletheia_operator/{one}" for one in modules])
    (place / "pyproject.toml").write_text(SETTINGS.format(modules=patterns, copied=json.dumps(COPIED)))


def _mutmut(place: Path, *arguments: str, command: str = "run") -> str:
    """mutmut's words of the end; its exit code says nothing that the outcomes do not."""
    environment = {**os.environ, "PYTHONPATH": str(place / "mutants" / "src")}  # for processes that tests start
    done = subprocess.run(
        [sys.executable, "-m", "mutmut", command, *arguments],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return done.stdout if command == "show" else done.stdout[-2000:] + done.stderr[-2000:]


def _outcomes(place: Path) -> dict[str, int | None]:
    outcomes: dict[str, int | None] = {}
    for file in (place / "mutants").rglob("*.meta"):
        outcomes |= json.loads(file.read_text())["exit_code_by_key"]
    return outcomes


def _mutants(place: Path) -> Iterator[str]:
    """Names of the mutants that change more than texts and the log."""
    for file in (place / "mutants" / "src").rglob("*.py"):
        if not file.with_name(file.name + ".meta").exists():
            continue
        module = ".".join(file.relative_to(place / "mutants" / "src").with_suffix("").parts).removesuffix(".__init__")
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


if __name__ == "__main__":
    sys.exit(main())
