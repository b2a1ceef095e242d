"""The result of a rule: a claim about one object, with links to the entries that prove it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aletheia_operator.text.display import one_line

Severity = Literal["critical", "error", "warning", "info"]
Confidence = Literal["certain", "likely", "possible"]
SEVERITIES: tuple[Severity, ...] = ("critical", "error", "warning", "info")
CONFIDENCES: tuple[Confidence, ...] = ("certain", "likely", "possible")
MAX_MESSAGE = 300
MAX_LINKS = 10


@dataclass(eq=False)
class Artifact:
    """The artifact that entries are read from. `path`: known after it was saved."""

    path: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """An entry: its artifact, and its index there."""

    artifact: Artifact
    entry: int

    def to_json(self) -> dict[str, Any]:
        return {"artifact": self.artifact.path, "entry": self.entry}


@dataclass(frozen=True, slots=True)
class Subject:
    """A Kubernetes object by its kind and name, or a service that is known from traces or metrics alone."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name}"


def object_text(reference: Mapping[str, Any]) -> str:
    """Return the text of an object in JSON, as that of a Subject: its kind and name."""
    return f"{str(reference.get('kind') or '').lower()}/{reference.get('name')}"


@dataclass
class Finding:
    """A claim about one object.

    `aside`: the trouble is over, or was there before the window: of two findings of one severity the other is more telling.
    `depth` orders causes before consequences: a node is 0, storage and configuration 10, a container 20, a probe 30, a service
    40, a caller 50, numbers 60, a change 90. `pods`, `nodes`: names of the pods and nodes that it is about. `callees`: names of
    hosts that do not answer. `of`: the workload that an autoscaler scales; None for other subjects. `because`: the finding that
    explains this one; None if none does.
    """

    rule: str
    severity: Severity
    confidence: Confidence
    subject: Subject
    message: str
    depth: int
    first_seen: str | None = None
    links: tuple[Link, ...] = ()
    remedy: str = ""
    pods: frozenset[str] = frozenset()
    nodes: frozenset[str] = frozenset()
    callees: frozenset[str] = frozenset()
    of: Subject | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    because: "Finding | None" = None
    aside: bool = False

    def to_json(self, namespace: str) -> dict[str, Any]:
        """Return the finding for findings.json. `namespace`: the Investigation's."""
        subject = {"kind": self.subject.kind, "name": one_line(self.subject.name, 253)}
        if self.subject.kind != "Node":
            subject["namespace"] = namespace
        found: dict[str, Any] = {
            "rule": self.rule,
            "severity": self.severity,
            "confidence": self.confidence,
            "object": subject,
            "message": one_line(self.message, MAX_MESSAGE),
            "firstSeen": self.first_seen,
            "evidence": [link.to_json() for link in self.links[:MAX_LINKS]],
            "remedy": self.remedy or None,
            "because": None if self.because is None else f"{self.because.rule} {self.because.subject}",
            "details": dict(self.details) or None,
        }
        return {key: value for key, value in found.items() if value is not None}
