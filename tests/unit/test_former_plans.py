"""Captures that another version of the operator began.

Planned again; saved artifacts are kept, questions that are no longer asked are reported.
"""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.fetchers.base import Document, Plan, Question, Sources
from aletheia_operator.investigate import Tools
from aletheia_operator.investigate.planning import MAX_PLAN_DEATHS
from tests.unit.capturing import counts, gaps, interrupted, on_disk, run
from tests.unit.fakes import FakeFetcher, forever, make_order, make_tools

Line = dict[str, Any]


def altered_plan(**changes: Any) -> Callable[[Line], Line]:
    return lambda plan: {**plan, **changes}


def altered_questions(**changes: Any) -> Callable[[Line], Line]:
    def alter(plan: Line) -> Line:
        questions = [{**question, **changes} for question in plan["questions"]]
        return {
            **plan,
            "questions": [{name: value for name, value in question.items() if value != "-"} for question in questions],
        }

    return alter


ALTERED: dict[str, Callable[[Line], Any]] = {
    "another version": altered_plan(version="99.0.0"),
    "no version": lambda plan: {"questions": plan["questions"]},
    "an unknown field of the plan": altered_plan(version="99.0.0", colour="red"),
    "an unknown field of questions": altered_questions(colour="red"),
    "a field of questions is missing": altered_questions(target="-"),
    "all fields are missing": altered_plan(questions=[{}, {"key": 7}]),
    "a fetcher that is not here": altered_questions(fetcher="Gossip"),
    "no questions": altered_plan(questions=None),
    "questions that are none": altered_plan(questions=["a", None, 3]),
    "a plan that is none": lambda plan: ["a"],
}


async def begun(root: Path, alter: Callable[[Line], Any], name: str = "plan") -> None:
    """A capture that was stopped after `a`, with the journal's lines that contain `name` altered."""
    await interrupted(make_order(), tools(root, {"a": [[1, 2]], "b": [forever]}), "a")
    alter_journal(root, alter, name)


def alter_journal(root: Path, alter: Callable[[Line], Any], name: str) -> None:
    (journal,) = root.glob("sessions/*/journal.ndjson")
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    changed = [{**line, name: alter(line[name])} if name in line else line for line in lines]
    assert changed != lines, "the journal has such a line"
    journal.write_text("".join(json.dumps(line) + "\n" for line in changed))


def die_while_planning(root: Path) -> None:
    (journal,) = root.glob("sessions/*/journal.ndjson")
    journal.write_text(journal.read_text() + '{"begun":"plan"}\n' * MAX_PLAN_DEATHS)


def tools(root: Path, answers: dict[str, Any]) -> Tools:
    return make_tools(root, FakeFetcher(answers))


@pytest.mark.parametrize("alter", ALTERED.values(), ids=ALTERED)
async def test_a_plan_of_another_version_is_made_anew(tmp_path: Path, alter: Callable[[Line], Any]) -> None:
    """What is saved is kept and not asked again; what both plans have is asked; no gap is an internal error."""
    await begun(tmp_path, alter)
    fetcher = FakeFetcher({"a": [["not asked"]], "b": [[3]]})
    snapshot = await run(make_order(), make_tools(tmp_path, fetcher))
    assert counts(snapshot) == {"thing/a": 2, "thing/b": 1}
    assert on_disk(snapshot)["thing/a"]["data"] == [1, 2]
    assert fetcher.asked == ["b"]
    assert {gap.fetcher for gap in snapshot.manifest.gaps} <= {"Investigation", "Gossip"}


async def test_what_the_new_plan_does_not_ask_is_a_gap(tmp_path: Path) -> None:
    """It names both versions; what was saved and is no longer planned is kept."""
    await begun(tmp_path, ALTERED["another version"])
    snapshot = await run(make_order(), tools(tmp_path, {"c": [[4]]}))
    assert counts(snapshot) == {"thing/c": 1, "thing/a": 2}
    (gap,) = snapshot.manifest.gaps
    assert gap.target == "thing/b"
    assert gap.message.startswith("planned by version 99.0.0 of the operator, and not by ")


async def test_a_plan_that_cannot_be_made_anew(tmp_path: Path) -> None:
    """What the former one asked for is a gap, too."""
    await begun(tmp_path, ALTERED["another version"])
    die_while_planning(tmp_path)
    snapshot = await run(make_order(), tools(tmp_path, {"b": [[3]]}))
    assert counts(snapshot) == {"thing/a": 2}
    assert sorted(gaps(snapshot)) == [("the plan", "InternalError"), ("thing/b", "InternalError")]


@pytest.mark.parametrize(
    ("name", "alter"),
    [
        ("artifacts", lambda artifacts: [{**artifact, "colour": "red"} for artifact in artifacts]),
        ("origins", lambda origins: {path: [*origin, "more"] for path, origin in origins.items()}),
        ("gaps", lambda gaps: [{"fetcher": "F", "target": "t", "reason": "r", "message": "m", "colour": "red"}]),
    ],
)
async def test_what_another_version_recorded_as_done(tmp_path: Path, name: str, alter: Callable[[Any], Any]) -> None:
    """It is kept, without fields that this version does not know."""
    await begun(tmp_path, alter, name)
    fetcher = FakeFetcher({"a": [["not asked"]], "b": [[3]]})
    snapshot = await run(make_order(), make_tools(tmp_path, fetcher))
    assert counts(snapshot) == {"thing/a": 2, "thing/b": 1}
    assert fetcher.asked == ["b"]
    assert GapReason.INTERNAL_ERROR.value not in [gap.reason for gap in snapshot.manifest.gaps]


PASSWORDS = ("Mz7-kvT2q.Lw9x", "Qp4-jwX8r.Tn3c")
QUERIES = [
    {"type": "loki", "query": f'{{app="shop"}} |= "password={password}"', "dataSourceRef": {"name": "loki"}}
    for password in PASSWORDS
]


@dataclass
class QueryFetcher(FakeFetcher):
    """Asks the spec's queries, one for each key of `answers`."""

    queries: list[str] = field(default_factory=list)

    async def plan(self, spec: InvestigationSpec, sources: Sources) -> Plan:
        asked = zip(self.answers, spec.queries or (), strict=False)
        arguments = {key: {"key": key, "request": request.to_json()} for key, request in asked}
        return Plan(tuple(Question(self.name, f"Fake/{key}", f"thing/{key}", given) for key, given in arguments.items()))

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        self.queries.append(question.arguments["request"]["query"])
        async for document in super().fetch(question, sources):
            yield document


def content_of(root: Path) -> bytes:
    """All files below a directory, one after another."""
    return b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())


async def test_the_journal_has_no_secret_of_a_query(tmp_path: Path) -> None:
    """A resumed capture asks the query with its secret, which it takes from the spec."""
    order = make_order(queries=QUERIES)
    await interrupted(order, make_tools(tmp_path, QueryFetcher({"a": [[1]], "b": [forever]})), "a")
    written = content_of(tmp_path)
    assert [password for password in PASSWORDS if password.encode() in written] == []
    fetcher = QueryFetcher({"a": ["not asked"], "b": [[3]]})
    snapshot = await run(order, make_tools(tmp_path, fetcher))
    assert fetcher.queries == [QUERIES[1]["query"]]
    assert counts(snapshot) == {"thing/a": 1, "thing/b": 1}
    assert gaps(snapshot) == []


async def test_a_query_with_a_secret_that_is_no_longer_planned(tmp_path: Path) -> None:
    """It is a gap; what was saved stays."""
    order = make_order(queries=QUERIES)
    await interrupted(order, make_tools(tmp_path, QueryFetcher({"a": [[1]], "b": [forever]})), "a")
    snapshot = await run(order, make_tools(tmp_path, QueryFetcher({"a": ["not asked"]})))
    assert counts(snapshot) == {"thing/a": 1}
    assert gaps(snapshot) == [("thing/b", "InternalError")]
