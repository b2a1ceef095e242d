"""A fetcher's documents written as artifacts, as a capture does it."""

import asyncio
import json
import secrets
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from aletheia_operator.api import InvestigationSpec
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.fetchers.base import Batch, Fetcher, Window, parts_of
from aletheia_operator.scratch import Scratch
from aletheia_operator.session.artifact import EntryBuffer, encoded, write_artifact
from tests.support.fetching import Fetched, build_sources


def capture(fetcher: Fetcher, source: Endpoint, span: Window, directory: Path, **spec: Any) -> Fetched:
    """Plan, fetch and write; entries are kept on disk only."""
    return asyncio.run(_capture(fetcher, source, span, directory, spec))


def _add(entries: EntryBuffer, batch: Batch) -> None:
    for part in parts_of(batch):
        entries.add(encoded(part))


def peak_mb() -> float:
    """Return this process' peak memory since its start; `ru_maxrss` would include its parent's."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024 / 1e6


async def _capture(fetcher: Fetcher, source: Endpoint, span: Window, directory: Path, spec: dict[str, Any]) -> Fetched:
    sources = build_sources("shop", span, source, scratch=partial(Scratch, directory, False))
    plan = await fetcher.plan(InvestigationSpec.from_json(spec), sources)
    fetched = Fetched(missing=list(plan.missing))
    for question in plan.questions:
        async for document in fetcher.fetch(question, sources):
            path = directory / f"{secrets.token_hex(4)}.json"
            entries = EntryBuffer(sources.scratch)
            async for batch in document.batches:
                await asyncio.to_thread(_add, entries, batch)
            metadata = json.loads(json.dumps(document.metadata)) | {"at": f"{datetime.now(UTC)}"}
            await asyncio.to_thread(write_artifact, path, document.source, metadata, entries, None, lambda _: None)
            entries.close()
            fetched.documents.append(document)
            fetched.missing += document.outcome.missing
    return fetched
