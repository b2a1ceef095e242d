"""Captures without a cluster: the real `investigate` with fetchers that answer from memory."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.fetchers.base import Document, Entries, Findings, Plan, Question, Sources
from aletheia_operator.investigate import Order, Snapshot, Tools, investigate
from aletheia_operator.session import InvestigationReference, SessionLayout

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
OWNER = InvestigationReference(namespace="production", name="payments-500s", uid="6f9619ff-8b86-d011-b42d-00cf4fc964ff")


@dataclass
class Memory:
    """A fetcher whose answers are given: name of a question → batches of entries. `asked` counts what was asked."""

    answers: Mapping[str, Sequence[Entries]]
    name: str = "Memory"
    asked: list[str] = field(default_factory=list)

    async def plan(self, spec: InvestigationSpec, sources: Sources) -> Plan:
        return Plan(tuple(Question(self.name, key, f"pod/{key}", {}) for key in self.answers))

    async def fetch(self, question: Question, sources: Sources) -> AsyncIterator[Document]:
        self.asked.append(question.key)
        findings = Findings(summary=f"the words of {question.key}")

        async def batches() -> AsyncGenerator[Entries, None]:
            for batch in self.answers[question.key]:
                yield batch

        yield Document("logs", "kubernetes", ("kubernetes", question.key), {"pod": question.key}, batches(), findings)


def capture(
    root: Path,
    fetcher: Memory,
    spec: Mapping[str, Any] | None = None,
    now: Callable[[], datetime] = lambda: NOW,
    owner: InvestigationReference = OWNER,
    **tools: Any,
) -> Snapshot:
    """One capture to its end, questions in order."""
    order = Order(owner, NOW, InvestigationSpec.model_validate({"targets": [{"pod": "any"}], **(spec or {})}))
    kubernetes = tools.pop("kubernetes", None)
    shared = Tools(
        SessionLayout(root), cast("Any", kubernetes), cast("Any", None), fetchers=(fetcher,), max_fetches=1, now=now, **tools
    )
    return asyncio.run(investigate(order, shared, lambda snapshot: None))


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
