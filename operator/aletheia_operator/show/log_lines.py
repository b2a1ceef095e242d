"""Searches lines of logs: by pod, container, run, level, text and time, with lines around them. Streams.

A pod's lines are read in their order; those of several pods are merged by time. Only lines that may match are decoded.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from heapq import merge
from typing import Any

import orjson

from aletheia_operator.api.expressions import compiled
from aletheia_operator.findings.loki_reader import place_of
from aletheia_operator.session.manifest import Artifact
from aletheia_operator.show.bounds import is_within
from aletheia_operator.show.captured import BriefFiles, CapturedSession, NotShown, unknown
from aletheia_operator.text.batches import LEVEL_CODES

MAX_GROUP = 1000
MAX_OPEN = 16
"""Artifacts that stay open while they are merged. If there are more, each is reopened for each block."""
_STAMP = b'{"timestamp":"'
_LITERAL = re.compile(r"[A-Za-z0-9 _\-:,;/=<>@%&#!~]+")
_POD = "pod/"
_OF_PODS = "KubernetesLogs"
"""Fetcher of artifacts with the lines of one pod. In the artifacts of others, each line has labels."""


@dataclass(slots=True)
class LogLine:
    """One line. `run` None: not known; `number`: of its entry in the pod's artifact; `raw`: the entry's JSON."""

    stamp: str
    pod: str
    container: str
    run: int | None
    level: str
    text: str
    number: int
    raw: bytes
    order: str = ""
    """The timestamp to sort by: that of the line before if this line has none."""
    is_context: bool = False


@dataclass(frozen=True)
class LogFilter:
    """A search for lines. Empty fields and None do not restrict it. `level`: the lowest; `grep`: RE2."""

    pods: Sequence[str] = ()
    containers: Sequence[str] = ()
    run: int | None = None
    previous: bool = False
    level: str = ""
    grep: str = ""
    ignore_case: bool = False
    since: str | None = None
    until: str | None = None
    context: int = 0

    @property
    def has_hits(self) -> bool:
        """Whether lines are selected by level or text."""
        return bool(self.level or self.grep)

    @cached_property
    def pattern(self) -> Any:
        """The compiled `grep`; None without one. Raises NotShown."""
        if not self.grep:
            return None
        try:
            return compiled(self.grep, case_sensitive=not self.ignore_case)
        except ValueError as e:
            raise NotShown(f"--grep {self.grep[:100]!r} is no regular expression (RE2): {e}") from e

    @cached_property
    def levels(self) -> frozenset[str]:
        return frozenset(LEVEL_CODES[LEVEL_CODES.index(self.level) :]) if self.level else frozenset()

    @cached_property
    def encoded_levels(self) -> tuple[bytes, ...]:
        """Texts for a fast check: the JSON of a matching line has one of them. `"head"` is in lines that continue another."""
        return (*(level.encode() for level in self.levels), b'"head"') if self.level else ()

    @cached_property
    def literal(self) -> bytes | None:
        """A text in the JSON of every matching line; None: not known."""
        is_plain = bool(self.grep) and not self.ignore_case and _LITERAL.fullmatch(self.grep)
        return self.grep.encode() if is_plain else None


def log_lines(session: CapturedSession, query: LogFilter) -> Iterator[list[LogLine]]:
    """Yield the lines in order of time, in groups of lines that follow each other in one pod. Raises NotShown."""
    _ = query.pattern  # an invalid pattern is refused before anything is read
    artifacts = selected(session, query.pods)
    if len(artifacts) > MAX_OPEN and session.manifest.encryption is None:
        session = CapturedSession(session.manifest, BriefFiles(session.files), session.notes)
    search = _Search(session, query, {_name(artifact) for artifact in artifacts if artifact.fetcher == _OF_PODS})
    if query.containers:
        search.require_containers(artifacts)
    if len(artifacts) == 1:
        return search.of_artifact(artifacts[0])
    return merge(*(search.of_artifact(artifact) for artifact in artifacts), key=lambda group: group[0].order)


def selected(session: CapturedSession, pods: Sequence[str]) -> list[Artifact]:
    """Return the artifacts with logs of `pods`; all if it is empty. Raises NotShown for a pod without logs."""
    artifacts = session.artifacts("logs")
    if not pods:
        return artifacts
    names = {_name(artifact) for artifact in artifacts if artifact.fetcher == _OF_PODS}
    for pod in pods:
        if not any(_is_pod(name, pod) for name in names) and not any(artifact.fetcher != _OF_PODS for artifact in artifacts):
            raise unknown("pod", pod, names)
    return [
        artifact for artifact in artifacts if artifact.fetcher != _OF_PODS or any(_is_pod(_name(artifact), pod) for pod in pods)
    ]


def _name(artifact: Artifact) -> str:
    return artifact.target.removeprefix(_POD)


def _is_pod(name: str, wanted: str) -> bool:
    """Return whether a pod matches: by its name, the name of its workload, or a pattern with `*`."""
    wanted = wanted.rpartition("/")[2]
    return name == wanted or name.startswith(f"{wanted}-") or fnmatchcase(name, wanted)


@dataclass
class _Search:
    """Searches lines. `captured`: pods with captured logs; lines of Loki about them are left out."""

    session: CapturedSession
    query: LogFilter
    captured: set[str]
    left_out: int = 0
    _hits: dict[tuple[str, str, int | None], str] = field(default_factory=dict)
    """For each run, the time of its last line with a matching level: lines that continue that line match too."""

    def require_containers(self, artifacts: Iterable[Artifact]) -> None:
        """Raise NotShown for a container that none of these logs has."""
        known: set[str] = set()
        for artifact in artifacts:
            if artifact.fetcher != _OF_PODS:
                return
            known |= {str(name) for name in self.session.metadata(artifact).get("containers") or ()}
        for name in self.query.containers:
            if known and not any(fnmatchcase(container, name) for container in known):
                raise unknown("container", name, known)

    def of_artifact(self, artifact: Artifact) -> Iterator[list[LogLine]]:
        """Yield the groups of lines of one artifact that match."""
        pod = "" if artifact.fetcher != _OF_PODS else _name(artifact)
        context = self.query.context if self.query.has_hits else 0
        before: deque[LogLine] = deque(maxlen=context)
        group: list[LogLine] = []
        left, last = 0, ""
        for number, raw in self.session.raw_entries(artifact):
            if not self._may_be(raw, bool(context)):
                continue
            line = self._selected(number, raw, pod)
            if line is None:
                continue
            last = line.order = line.stamp or last
            if self._is_hit(line):
                group += [*before, line]
                before.clear()
                left = context
            elif left:
                left -= 1
                line.is_context = True
                group.append(line)
            else:
                line.is_context = True
                before.append(line)
                if group and context:
                    yield group
                    group = []
            if group and (not context or len(group) >= MAX_GROUP):
                yield group
                group = []
        if group:
            yield group

    def _may_be(self, raw: bytes, has_context: bool) -> bool:
        """Return False if a line cannot match. Does not decode it."""
        query = self.query
        if (query.since is not None or query.until is not None) and raw.startswith(_STAMP):
            end = raw.find(b'"', len(_STAMP))
            if not is_within(raw[len(_STAMP) : end].decode("ascii", "replace"), query.since, query.until):
                return False
        if has_context:
            return True
        if query.literal is not None and query.literal not in raw:
            return False
        return not query.level or any(level in raw for level in query.encoded_levels)

    def _selected(self, number: int, raw: bytes, pod: str) -> LogLine | None:
        """Return the line; None if it is of another pod, container, run or time."""
        query = self.query
        try:
            entry = orjson.loads(raw)
            line = _line(entry, number, raw, pod)
        except (ValueError, AttributeError, TypeError) as e:
            raise NotShown(f"entry {number} of the logs of {pod or 'Loki'} is damaged: {e}") from e
        if not pod:
            if query.pods and not any(_is_pod(line.pod, wanted) for wanted in query.pods):
                return None
            if line.pod in self.captured:
                self.left_out += 1
                return None
        if query.containers and not any(fnmatchcase(line.container, name) for name in query.containers):
            return None
        if query.run is not None and line.run != query.run:
            return None
        if query.previous and not entry.get("previous"):
            return None
        if not is_within(line.stamp, query.since, query.until):
            return None
        return self._marked(line, entry)

    def _marked(self, line: LogLine, entry: Mapping[str, Any]) -> LogLine:
        """Set the level of a line to `+` if it continues a line with a matching level."""
        if not self.query.level:
            return line
        run = line.pod, line.container, line.run
        if line.level in self.query.levels:
            self._hits[run] = line.stamp
        elif (head := entry.get("head")) is not None and self._hits.get(run) == head:
            line.level = "+"
        return line

    def _is_hit(self, line: LogLine) -> bool:
        query = self.query
        if query.level and line.level != "+" and line.level not in query.levels:
            return False
        return query.pattern is None or query.pattern.search(line.text) is not None


def _line(entry: Mapping[str, Any], number: int, raw: bytes, pod: str) -> LogLine:
    container = str(entry.get("container") or "")
    if not pod:
        pod, container = place_of(entry.get("labels") or {})
    run = entry.get("run")
    text = entry.get("line")
    return LogLine(
        stamp=str(entry.get("timestamp") or ""),
        pod=pod,
        container=container,
        run=run if isinstance(run, int) else None,
        level=str(entry.get("level") or ""),
        text=text if isinstance(text, str) else str(entry.get("message") or ""),
        number=number,
        raw=raw,
    )
