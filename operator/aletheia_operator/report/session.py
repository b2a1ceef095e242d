"""Loads what a report needs: the manifest, and parts of the session's files. Sizes and times are bounded; all calls block."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from aletheia_operator.report.charts import Query, add_query
from aletheia_operator.report.quotes import Quote, quote
from aletheia_operator.report.reading import Files, Reading
from aletheia_operator.session import Artifact, Manifest

MAX_METRIC_FILES = 60
MAX_TRACES = 2_000
MAX_MOMENTS = 5_000
MAX_FINDINGS = 200
SECONDS = {"documents": 1.0, "metrics": 0.8, "traces": 0.8, "quotes": 2.0}
"""Processor time for reading each part. The sum is less than 5 s."""

Link = tuple[str, int]


@dataclass(frozen=True)
class LoadedDocument:
    """The timeline or the findings of a session: metadata and entries."""

    metadata: Mapping[str, Any] = field(default_factory=dict)
    entries: list[Any] = field(default_factory=list)


@dataclass
class Source:
    """One session. `in_memory`: loaded documents by category, for example of a sealed session, which cannot be read."""

    manifest: Manifest
    files: Files
    in_memory: Mapping[str, LoadedDocument] = field(default_factory=dict)
    kept_entries: Mapping[Link, Any] = field(default_factory=dict)
    """Entries to quote from files that cannot be read."""
    seconds: Mapping[str, float] = field(default_factory=lambda: SECONDS)
    left_out: set[str] = field(default_factory=set)
    """Paths of artifacts that were not read to the end."""

    def document(self, category: str) -> LoadedDocument:
        """Return the timeline or the findings; an empty document if the session has none, or it cannot be read."""
        if category in self.in_memory:
            return self.in_memory[category]
        path = next((artifact.path for artifact in self._of(category)), None)
        if path is None:
            return LoadedDocument()
        with _ReadPart(self, "documents") as reading:
            limit = MAX_MOMENTS if category == "timeline" else MAX_FINDINGS
            entries = [entry for _, entry in islice(reading.entries(path), limit) if isinstance(entry, dict)]
            return LoadedDocument(reading.metadata(path), entries)

    def quotes(self, links: Iterable[tuple[Link, int]]) -> dict[Link, list[Quote]]:
        """Quote entries. `links`: pairs of a link and the number of entries to quote before and after it.

        Entries that cannot be read are left out.
        """
        wanted: dict[str, dict[int, int]] = {}
        for (artifact, entry), around in links:
            numbers = wanted.setdefault(artifact, {})
            numbers[entry] = max(around, numbers.get(entry, 0))
        sizes = {artifact.path: artifact.size_bytes for artifact in self.manifest.artifacts}
        found: dict[Link, list[Quote]] = {}
        with _ReadPart(self, "quotes") as reading:
            for artifact in sorted((path for path in wanted if path in sizes), key=lambda path: sizes[path]):
                numbers = wanted[artifact]
                near = {number + by for number, around in numbers.items() for by in range(-around, around + 1)}
                entries = reading.at(artifact, near)
                for number, around in numbers.items():
                    if number in entries:
                        places = [place for place in range(number - around, number + around + 1) if place in entries]
                        found[artifact, number] = [quote(artifact, place, entries[place], place != number) for place in places]
        kept = {(artifact, number) for artifact, numbers in wanted.items() for number in numbers} - found.keys()
        return found | {link: [quote(*link, self.kept_entries[link])] for link in kept if link in self.kept_entries}

    def queries(self) -> list[Query]:
        """Return the metrics that were captured."""
        found: list[Query] = []
        with _ReadPart(self, "metrics") as reading:
            for artifact in [*self._of("metrics")][:MAX_METRIC_FILES]:
                metadata, entries = reading.metadata(artifact.path), reading.entries(artifact.path)
                add_query(found, metadata, artifact.path, (entry for _, entry in entries))
        return found

    def traces(self) -> Iterator[tuple[str, int, Any]]:
        """Yield the traces: artifact, number of the entry, and entry."""
        with _ReadPart(self, "traces") as reading:
            for artifact in self._of("traces"):
                for number, entry in islice(reading.entries(artifact.path), MAX_TRACES):
                    yield artifact.path, number, entry

    def _of(self, category: str) -> Iterator[Artifact]:
        return (artifact for artifact in self.manifest.artifacts if artifact.category == category)


class _ReadPart:
    """Reads one part of the report within its time limit. `Source.left_out` gets the artifacts that were not read."""

    def __init__(self, source: Source, name: str) -> None:
        self._source = source
        self._reading = Reading(source.files, seconds=source.seconds[name])

    def __enter__(self) -> Reading:
        return self._reading

    def __exit__(self, *_: object) -> None:
        self._source.left_out |= self._reading.left_out
