"""Runs a fetcher without a cluster: its plan, and its documents, read to their end."""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import orjson

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.http import Http
from aletheia_operator.fetchers.base import DataSources, Document, Fetcher, Missing, Sources, Window, parts_of
from aletheia_operator.logs.pool import Parsers
from aletheia_operator.scratch import Scratch
from aletheia_operator.session.artifact import encoded


@dataclass(frozen=True)
class OneEndpoint:
    """Returns this endpoint for every DataSource."""

    endpoint: Endpoint

    async def find(self, kind: str, name: str | None) -> Endpoint:
        return self.endpoint


@dataclass
class Fetched:
    """The result for a spec."""

    documents: list[Document] = field(default_factory=list)
    entries: list[list[Any]] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)


def endpoint(url: str, **settings: Any) -> Endpoint:
    return Endpoint(**{"name": "test", "url": url, "timeout_seconds": 30, "max_response_bytes": 2**30, **settings})


def window(start: float, end: float) -> Window:
    return Window(datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC))


def fetch(fetcher: Fetcher, source: Endpoint | DataSources, span: Window, namespace: str = "shop", **spec: Any) -> Fetched:
    """Plan and fetch. Returns entries as they are written, and gaps as they are reported."""
    return asyncio.run(_fetch(fetcher, source, span, namespace, spec))


def build_sources(namespace: str, span: Window, source: Endpoint | DataSources | None = None, **changes: Any) -> Sources:
    """Sources without Kubernetes, with scratch files in the system's temporary directory. `changes`: other fields."""

    async def no_kubernetes() -> NoReturn:
        raise AssertionError("this fetcher does not ask Kubernetes")

    settings: dict[str, Any] = {
        "kubernetes": no_kubernetes,
        "http": Http(),
        "data_sources": OneEndpoint(source) if isinstance(source, Endpoint) else source,
        "parsers": Parsers(),
        "scratch": partial(Scratch, Path(tempfile.gettempdir()), False),
        "interrupted": lambda: False,
        **changes,
    }
    return Sources(namespace, span, **settings)


async def _fetch(
    fetcher: Fetcher, source: Endpoint | DataSources, span: Window, namespace: str, spec: dict[str, Any]
) -> Fetched:
    sources = build_sources(namespace, span, source)
    plan = await fetcher.plan(InvestigationSpec.from_json(spec), sources)
    fetched = Fetched(missing=list(plan.missing))
    for question in plan.questions:
        try:
            async for document in fetcher.fetch(question, sources):
                fetched.documents.append(document)
                entries: list[Any] = []
                fetched.entries.append(entries)
                async for batch in document.batches:
                    for part in parts_of(batch):
                        entries += orjson.loads(b"[" + encoded(part).block + b"]")
                fetched.missing += document.outcome.missing
        except SourceError as e:
            fetched.missing.append(Missing(question.target, e.reason, e.message))
    return fetched


def reasons(missing: Sequence[Missing]) -> list[str]:
    return [gap.reason.value for gap in missing]
