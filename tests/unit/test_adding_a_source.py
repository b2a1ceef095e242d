"""docs/fetchers.md is correct: with its code, a copy of the operator has one more source, and nothing else changes."""

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.rig import ROOT
from tests.support.helm import find_helm
from tests.unit.loopback import Answer, Loopback, Request, reply_json

PAGE = (ROOT / "docs" / "fetchers.md").read_text()
BLOCKS = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE, re.DOTALL))
(RESOURCES,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
REGISTRY = "operator/aletheia_operator/api/source_types/__init__.py"
NOTES = [{"time": "2026-11-22T11:59:00Z", "author": "ada", "text": "rollback of payments began"}]
HELM = find_helm()
PROGRAMS = f"{Path(sys.executable).parent}/"


def run(copy: Path, *command: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program in the copy, with the copy's operator and this tree's tests."""
    path = os.pathsep.join([str(copy / "operator"), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(
        command, cwd=copy, env=environment, input=stdin, capture_output=True, text=True, timeout=60, check=False
    )


def output(copy: Path, *command: str, stdin: str | None = None) -> str:
    """Run a program in the copy, which must succeed, and return what it printed."""
    done = run(copy, *command, stdin=stdin)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def registered(registry: str, block: str) -> str:
    """The registry with the import and the line of the page's block."""
    (line,) = re.findall(r"^ +SourceType\(.*\n", block, re.MULTILINE)
    imports = re.compile(r"(?:^from aletheia_operator.*\n)+", re.MULTILINE)
    (known,), (added,) = imports.findall(registry), imports.findall(block)
    registry = registry.replace(known, "".join(sorted((known + added).splitlines(keepends=True))))
    return re.sub(r"^(SOURCE_TYPES: .*\n(?: .*\n)+)", lambda match: match[1] + line, registry, count=1, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the operator with the page's code, and what `make generate` writes."""
    top = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "operator", top / "operator")
    shutil.copytree(ROOT / "charts", top / "charts")
    for name in ("pyproject.toml", "docs/datasources/README.md"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, top / name)
    for path, block in BLOCKS.items():
        before = (top / path).read_text() if (top / path).exists() else None
        assert (before is None) == (path != REGISTRY), f"{path} is there already, or missing"
        (top / path).write_text(block if before is None else registered(before, block))
    crds = str(top / "charts" / "aletheia-operator" / "files" / "crds")
    schema = str(top / "charts" / "aletheia-operator" / "values.schema.json")
    output(top, sys.executable, "-m", "aletheia_operator.api.crd", crds)
    output(top, sys.executable, "-m", "aletheia_operator.api.derived", schema, str(top / "docs" / "datasources" / "README.md"))
    return top


def served(notes: Any, status: int = 200) -> Answer:
    """A notes server."""

    def answer(request: Request) -> None:
        reply_json("2.1" if request.path.startswith("/api/version") else notes, status)(request)

    return answer


ANSWERS = {
    "notes": served(NOTES),
    "too many": served(NOTES * 101),
    "refused": served({"error": "no such channel"}, 404),
    "another server": served({}),
}


@dataclass(frozen=True)
class Captured:
    """The result of the page's Investigation at one server."""

    result: dict[str, Any]
    queries: list[dict[str, str]]
    session: Path


@pytest.fixture(scope="module")
def captured(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Captured]:
    """The page's Investigation at the server of each of ANSWERS, all captured by one process."""
    directory = tmp_path_factory.mktemp("sessions")
    with ExitStack() as stack:
        servers = [stack.enter_context(Loopback()) for _ in ANSWERS]
        for server, answer in zip(servers, ANSWERS.values(), strict=True):
            server.answers = (answer,)
        urls = [server.url for server in servers]
        printed = output(copy, sys.executable, "-m", "tests.unit.added_source", str(directory), *urls, stdin=RESOURCES)
    results = map(json.loads, printed.splitlines())
    sessions = [next((directory / str(number) / "sessions").glob("INC-*")) for number in range(len(ANSWERS))]
    return {
        name: Captured(result, [query for query in server.queries() if query], session)
        for name, result, server, session in zip(ANSWERS, results, servers, sessions, strict=True)
    }


def test_the_page_adds_three_files() -> None:
    """A module, its options and a line in the registry."""
    assert set(BLOCKS) == {
        "operator/aletheia_operator/fetchers/notes.py",
        "operator/aletheia_operator/api/source_types/notes.py",
        REGISTRY,
    }


def test_what_the_added_source_captures(captured: dict[str, Captured]) -> None:
    """From the DataSource with its options to the artifact on disk; the DataSource's status has the server's version."""
    result = captured["notes"].result
    assert (result["phase"], result["gaps"]) == ("Completed", [])
    assert result["status"]["version"] == "2.1"
    document = result["artifacts"]["rollback"]
    assert (document["source"], document["data"]) == ("notes", NOTES)
    assert document["metadata"]["summary"] == "1 notes"
    (asked,) = captured["notes"].queries
    assert (asked["text"], asked["channel"], asked["to"]) == ("rollback", "payments", document["metadata"]["time_range"][1])


@pytest.mark.parametrize(
    ("name", "reason", "kept"),
    [("too many", "BudgetExceeded", [100]), ("refused", "NotFound", []), ("another server", "InvalidResponse", [])],
)
def test_what_the_added_source_cannot_have(captured: dict[str, Captured], name: str, reason: str, kept: list[int]) -> None:
    """Each fault is a gap with its reason, and received data is kept."""
    result = captured[name].result
    assert result["gaps"] == [["rollback", reason]]
    assert [len(document["data"]) for document in result["artifacts"].values()] == kept


def test_the_command_line_shows_it(copy: Path, captured: dict[str, Captured]) -> None:
    """The view of its category has the entries, or says why there are none."""
    events = (sys.executable, "-m", "aletheia_operator.cli", "events")
    assert "author=ada, text=rollback of payments began" in output(copy, *events, str(captured["notes"].session))
    assert output(copy, *events, str(captured["notes"].session), "--grep=payments").count("rollback") == 1
    refused = run(copy, *events, str(captured["refused"].session))
    assert refused.returncode == 1 and "has no events: NotFound rollback: " in refused.stderr


def test_the_definitions_have_the_type_and_its_options(copy: Path) -> None:
    """The enums have the value, and the DataSource the sub-object with its rule."""
    crds = copy / "charts" / "aletheia-operator" / "files" / "crds"

    def spec_of(plural: str) -> Any:
        definition = yaml.safe_load((crds / f"{plural}.aletheia.dev.yaml").read_text())
        return definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]

    source = spec_of("datasources")
    assert "notes" in source["properties"]["type"]["enum"]
    assert source["properties"]["notes"]["properties"]["channel"]["maxLength"] == 80
    assert "!has(self.notes) || self.type == 'notes'" in [rule["rule"] for rule in source["x-kubernetes-validations"]]
    query = spec_of("investigations")["properties"]["queries"]["items"]["properties"]["type"]
    assert query["enum"] == ["loki", "notes"]
    assert "notes: query is words to look for." in query["description"]


def test_the_table_has_the_type(copy: Path) -> None:
    """With its field in the spec, and its options."""
    row = "| [notes](notes.md) | `spec.queries` | `notes.channel`: Channel to search. Unset: all channels. |\n"
    assert row in (copy / "docs" / "datasources" / "README.md").read_text()


@pytest.mark.skipif(HELM is None, reason="no helm: set ALETHEIA_HELM, or build the test cluster's")
def test_the_chart_takes_the_type_and_its_options(copy: Path) -> None:
    """And refuses unknown options."""
    spec = yaml.safe_load(RESOURCES.partition("---")[0])["spec"]
    command = [str(HELM), "template", "flight", "charts/aletheia-operator", "--kube-version", "1.34.0", "--values", "-"]
    values = {"dataSources": [{"name": "notes", **spec}]}
    rendered = [document for document in yaml.safe_load_all(output(copy, *command, stdin=json.dumps(values))) if document]
    assert [document["spec"] for document in rendered if document["kind"] == "DataSource"] == [
        spec,
        spec,
    ]  # the hooks after the install and before the uninstall
    values["dataSources"][0]["notes"] = {"chanel": "payments"}
    refused = run(copy, *command, stdin=json.dumps(values))
    assert refused.returncode != 0 and "/dataSources/0/notes" in refused.stderr


def test_the_added_code_is_sound(copy: Path) -> None:
    """ruff finds nothing in it, and it keeps the import contracts."""
    output(copy, PROGRAMS + "ruff", "check", "--no-cache", *BLOCKS)
    output(copy, PROGRAMS + "ruff", "format", "--no-cache", "--check", *BLOCKS)
    output(copy, PROGRAMS + "lint-imports", "--no-logo", "--no-cache")


def test_a_fetcher_that_imports_another_breaks_the_contract(copy: Path) -> None:
    """The contract covers a module that it does not name."""
    path = copy / "operator" / "aletheia_operator" / "fetchers" / "notes.py"
    sound = path.read_text()
    try:
        path.write_text(sound + "\nfrom aletheia_operator.fetchers.loki import LokiFetcher\n")
        refused = run(copy, PROGRAMS + "lint-imports", "--no-logo", "--no-cache")
    finally:
        path.write_text(sound)
    assert refused.returncode == 1
    assert "aletheia_operator.fetchers.notes -> aletheia_operator.fetchers.loki" in refused.stdout
