"""The findings step of a capture: what it saves, over restarts, sealed, and with faults."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.fetchers.base import Document, Missing, Outcome, Plan, Question, Sources
from aletheia_operator.findings import Evidence, objects, templates, verdict
from aletheia_operator.findings.log_reader import LogReader
from aletheia_operator.findings.rules import RULES
from aletheia_operator.investigate.findings_step import FindingsStep
from aletheia_operator.session import age
from tests.unit.capturing import evidence, files, gaps, run
from tests.unit.evidence import Object, ended, pod, waiting
from tests.unit.fakes import make_order, make_tools

_, PUBLIC = age.new_identity()
CRASHED = waiting("CrashLoopBackOff", restarts=3, last=ended(1))
WORDS = "FATAL: canary-71 the journal is torn"


@dataclass
class Crashed:
    """A pod that crashes, and its log."""

    name: str = "Crashed"

    async def plan(self, spec: InvestigationSpec, sources: Sources) -> Plan:
        return Plan((Question(self.name, "objects", "objects", {}), Question(self.name, "logs", "pod/web-0", {})))

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        if question.key == "objects":
            found = pod("web-0", CRASHED)
            yield Document("objects", "kubernetes", ("o",), {"kind": "Deployment", "name": "web"}, _of([found]), Outcome())
        else:
            stamp = "2026-11-22T14:28:00.000000000Z"
            entry = {"timestamp": stamp, "container": "app", "run": 3, "level": "FATAL", "line": WORDS}
            metadata = {"pod": "web-0", "runs": [{"container": "app", "run": 3}]}
            yield Document("logs", "kubernetes", ("l",), metadata, _of([entry]), Outcome())


async def _of(entries: list[Object]) -> AsyncGenerator[list[Any], None]:
    yield entries


async def test_findings_are_saved_and_lead_the_status(tmp_path: Path) -> None:
    """The manifest has the headline and the first findings; the file has all, with links to entries that are there."""
    snapshot = await run(make_order(), make_tools(tmp_path, Crashed()))
    headline = "web: FATAL: canary-71 the journal is torn (exit 1, 3 restarts since 14:28)"
    assert snapshot.manifest.headline == headline
    first = snapshot.manifest.findings[0]
    assert (first.rule, first.severity, first.object.name) == ("CrashLoop", "critical", "web")
    document = json.loads((Path(snapshot.path) / "data/findings.json").read_text())
    assert document["metadata"]["headline"] == headline
    finding = document["data"][0]
    texts = []
    for link in finding["evidence"]:
        artifact = json.loads((Path(snapshot.path) / link["artifact"]).read_text())
        texts.append(json.dumps(artifact["data"][link["entry"]]))
    assert "CrashLoopBackOff" in texts[0]
    assert WORDS in texts[1]


async def test_what_is_missing_is_counted_in_the_headline(tmp_path: Path) -> None:
    """A headline without a finding must not look as if all is well. Notes are not counted."""

    class Silent(Crashed):
        async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
            note = [Missing("a", GapReason.EMPTY, "none", "note")] if question.key == "logs" else []
            gaps = [Missing(name, GapReason.NOT_FOUND, "gone") for name in ("a", "b")] if question.key == "logs" else []
            yield Document(question.key, "kubernetes", (question.key,), {}, _of([]), Outcome(missing=[*note, *gaps]))

    snapshot = await run(make_order(), make_tools(tmp_path, Silent()))
    assert snapshot.manifest.headline is not None
    assert "2 gaps" in snapshot.manifest.headline


async def test_findings_from_a_part_of_the_facts_have_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They must not look as if all evidence had been judged. The evidence is whole, so the phase does not change."""
    monkeypatch.setattr(templates, "MAX_TEMPLATES", 0)
    monkeypatch.setattr(objects, "MAX_BYTES", 0)
    snapshot = await run(make_order(), make_tools(tmp_path, Crashed()))
    (note,) = snapshot.manifest.gaps
    assert (note.target, note.reason, note.severity) == ("findings", GapReason.BUDGET_EXCEEDED, "note")
    assert note.message == "made without 1 object, 1 log line, which do not fit into memory; the evidence has them"
    assert snapshot.manifest.phase == "Completed"


@pytest.mark.parametrize("kind", ["objects", "events", "logs", "metrics", "traces"])
def test_every_kind_of_facts_that_is_left_out_is_counted(kind: str) -> None:
    """No reader drops facts that the findings do not mention."""
    found = Evidence(datetime(2026, 11, 22, 14, tzinfo=UTC), datetime(2026, 11, 22, 15, tzinfo=UTC))
    assert found.left_out == {}
    getattr(found, kind).left_out = 3
    assert list(found.left_out.values()) == [3]


async def test_a_sealed_session_quotes_nothing_in_its_status(tmp_path: Path) -> None:
    """The status names rule and object; the words are in the sealed file alone."""
    order = make_order(session={"encryption": {"recipients": [PUBLIC]}})
    snapshot = await run(order, make_tools(tmp_path, Crashed()))
    assert "data/findings.json.age" in files(snapshot)
    assert snapshot.manifest.headline == "CrashLoop of deployment/web; sealed: see data/findings.json.age"
    assert "canary-71" not in snapshot.manifest.model_dump_json()


@pytest.mark.logs_errors("rule fails failed: RuntimeError")
async def test_a_rule_that_fails_is_a_gap_and_costs_no_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other rules are still applied."""

    def fails(case: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(verdict, "RULES", (fails, *RULES))
    snapshot = await run(make_order(), make_tools(tmp_path, Crashed()))
    assert gaps(snapshot) == [("findings", "InternalError")]
    assert snapshot.manifest.gaps[0].message.endswith("the findings are without fails")
    assert snapshot.manifest.findings[0].rule == "CrashLoop"


@pytest.mark.logs_errors("could not be looked through")
async def test_facts_that_are_lost_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is still judged."""

    def fails(*_: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(LogReader, "read", fails)
    snapshot = await run(make_order(), make_tools(tmp_path, Crashed()))
    (gap,) = snapshot.manifest.gaps
    assert (gap.target, gap.reason) == ("findings", "InternalError")
    assert gap.message.endswith("the findings are without pod/web-0")
    assert snapshot.manifest.findings[0].rule == "CrashLoop"


async def test_artifacts_that_cannot_be_read_again_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restart of the operator the findings are made from the files. Those of a sealed session cannot be read."""
    unread = ["data/logs/a.json", "data/logs/b.json", "data/logs/c.json", "data/logs/d.json", "data/logs/e.json"]
    monkeypatch.setattr(FindingsStep, "read_again", AsyncMock(return_value=unread))
    snapshot = await run(make_order(), make_tools(tmp_path, Crashed()))
    (note,) = snapshot.manifest.gaps
    assert (note.target, note.reason, note.severity) == ("findings", GapReason.UNAVAILABLE, "note")
    assert note.message.endswith("without data/logs/a.json, data/logs/b.json, data/logs/c.json and 2 more")


@pytest.mark.logs_errors("the findings of session")
async def test_a_step_that_fails_is_a_gap_and_costs_no_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The artifacts are there, and the status has no headline."""

    def fails(*_: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr("aletheia_operator.investigate.findings_step.judge", fails)
    snapshot = await run(make_order(), make_tools(tmp_path, Crashed()))
    assert gaps(snapshot) == [("findings", "InternalError")]
    assert (len(evidence(snapshot)), snapshot.manifest.headline) == (3, None)
