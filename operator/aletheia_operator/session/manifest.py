"""manifest.json, the record of a session: every artifact with its digest, and every gap. Status is made from it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from aletheia_operator.api.redaction import RedactionLevel
from aletheia_operator.api.status import ArtifactStatus, FindingStatus, GapStatus, UploadStatus
from aletheia_operator.api.types import Model
from aletheia_operator.session.layout import category_of
from aletheia_operator.session.seal import Encryption

Gap = GapStatus
Upload = UploadStatus


MAX_WORDLESS_CAUSE = 120


class VerdictSummary(Model):
    """The part of the findings that the manifest has."""

    headline: str
    findings: list[FindingStatus] = Field(default_factory=list)


def wordless_headline(findings: Sequence[FindingStatus], notice: str) -> str:
    """Return a headline without text of the evidence: rule and object of the first finding of trouble, then `notice`."""
    first = next((finding for finding in findings if finding.severity != "info"), None)
    cause = "no cause found" if first is None else f"{first.rule} of {first.object.kind.lower()}/{first.object.name}"
    return f"{cause[:MAX_WORDLESS_CAUSE]}; {notice}"


class Artifact(ArtifactStatus):
    """One file of evidence, with fields that only the manifest has."""

    counts: str = ""
    """`summary` without text of the content, if the summary may quote it; empty: it quotes nothing."""

    redactions: dict[str, int] = Field(default_factory=dict)
    """How many secrets were removed, by rule."""
    unscanned: list[str] = Field(default_factory=list)
    """Parts of the file that were not searched for secrets."""

    @property
    def category(self) -> str:
        """The category of its path; '' if it has none."""
        return category_of(self.path)

    @property
    def wordless(self) -> str:
        """The summary without text of the content."""
        return self.counts or self.summary

    def to_status(self) -> dict[str, Any]:
        """Return the artifact as in the status."""
        return ArtifactStatus.model_validate(self.model_dump(exclude={"counts", "redactions", "unscanned"})).to_json()


class RedactionRecord(Model):
    """How a session's files were redacted."""

    level: RedactionLevel
    rules: list[str] = Field(default_factory=list)
    """Names of the rules that were added to the built-in ones."""
    of_manifest: str | None = None
    """SHA-256 of the manifest of the session that this one is a redacted copy of, in hex. None: it is a capture."""


class InvestigationReference(Model):
    """The Investigation that a session belongs to."""

    namespace: str
    name: str
    uid: str


class Manifest(Model):
    """The content of a session. `phase` is `Running` until the capture has ended."""

    schema_version: Literal[1] = 1
    session_id: str
    investigation: InvestigationReference
    spec: dict[str, Any]
    window: tuple[str, str]
    phase: str
    start_time: datetime
    completion_time: datetime | None = None
    expiration_time: datetime | None = None
    """When the data was removed; `artifacts` still lists it. None: the data is there."""
    operator_version: str
    encryption: Encryption | None = None
    upload: Upload | None = None
    """The copy of the session that was uploaded before this manifest was written. None: there is no copy."""
    redaction: RedactionRecord | None = None
    """How its files were redacted. None: by an operator that did not record it."""
    questions: int = 0
    headline: str | None = None
    """The first finding; without findings, what was looked at. None: there is no evidence that could be judged."""
    findings: list[FindingStatus] = Field(default_factory=list)
    """The first findings; data/findings.json has all."""
    artifacts: list[Artifact] = Field(default_factory=list)
    gaps: list[Gap] = Field(default_factory=list)

    @property
    def finished(self) -> bool:
        return self.completion_time is not None

    @property
    def redactions(self) -> int:
        """How many secrets were removed from all files."""
        return sum(sum(artifact.redactions.values()) for artifact in self.artifacts)

    @property
    def size_bytes(self) -> int:
        return sum(artifact.size_bytes for artifact in self.artifacts)
