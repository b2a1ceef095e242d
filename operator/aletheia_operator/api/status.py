"""The status of an Investigation, derived from the session's manifest."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from aletheia_operator.api.conditions import Condition
from aletheia_operator.api.types import (
    Model,
)

Phase = Literal["Pending", "Queued", "Running", "Completed", "PartiallyCompleted", "Failed", "TimedOut", "Cancelled"]


TERMINAL_PHASES: frozenset[str] = frozenset({"Completed", "PartiallyCompleted", "Failed", "TimedOut", "Cancelled"})


class Progress(Model):
    """Progress of the capture, counted in questions to sources."""

    done: int = Field(description="Questions that are answered or ended with a gap.")
    total: int = Field(description="All questions of this capture.")
    text: str = Field(description="The progress as `done/total`.")


class UploadStatus(Model):
    """A complete, verified copy of the session in object storage."""

    data_source: str = Field(description="Name of the DataSource that it was uploaded to.")
    url: str = Field(
        description="URL of the copy: `s3://{bucket}/{key of the session}/`, with manifest.json and data/ below it."
    )


class SessionStatus(Model):
    """The session that holds the artifacts."""

    id: str = Field(description="Id of the session, for example INC-7F3A.")
    path: str = Field(description="Directory of the session on the session volume, as mounted in the operator's pod.")
    size_bytes: int | None = Field(None, description="Size of all artifacts in bytes.")
    size: str | None = Field(None, description="Size of all artifacts in a readable unit.")
    redactions: int | None = Field(
        None, description="Number of secrets that were removed from the artifacts; the manifest counts them by rule."
    )
    manifest_sha256: str | None = Field(None, alias="manifestSha256", description="SHA-256 of manifest.json, in hex.")
    uploaded: UploadStatus | None = Field(None, description="The uploaded copy. Unset: not uploaded, or not yet.")


class ArtifactStatus(Model):
    """One file of the session, with captured data."""

    path: str = Field(description="Path relative to the session's directory.")
    fetcher: str = Field(description="Name of the fetcher that made it.")
    target: str = Field(description="The pod, object, query or service that it is about.")
    count: int = Field(description="Number of entries in the file.")
    summary: str = Field(description="Summary of the contents in one line.")
    time_range: Annotated[list[str], Field(min_length=2, max_length=2)] = Field(
        description="Start and end of the window that was asked about, RFC 3339 in UTC."
    )
    size_bytes: int = Field(description="Size of the file in bytes.")
    sha256: str = Field(description="SHA-256 of the file, in hex.")
    complete: bool = Field(description="False if requested data is missing from the file; the gaps name it.")


class EvidenceStatus(Model):
    """An entry that proves a finding."""

    artifact: str = Field(description="Path of the artifact below the session's directory.")
    entry: int = Field(description="Index of the entry in the artifact's `data`, from 0.")


class FindingObject(Model):
    """The object that a finding is about."""

    kind: str = Field(description="Its kind; Service for one that is known from traces or metrics alone.")
    namespace: str | None = Field(None, description="Its namespace; unset for nodes.")
    name: str = Field(description="Its name.")


class FindingStatus(Model):
    """What the evidence says, in one line."""

    rule: str = Field(description="The rule that found it, in one CamelCase word.")
    severity: Literal["critical", "error", "warning", "info"] = Field(description="How bad it is.")
    confidence: Literal["certain", "likely", "possible"] = Field(description="How sure the rule is.")
    object: FindingObject = Field(description="What it is about.")
    message: str = Field(description="What is wrong, for people.")
    first_seen: str | None = Field(None, description="When it was seen first, RFC 3339. Unset: not known.")
    evidence: list[EvidenceStatus] = Field(default_factory=list, description="The entries that prove it.")


class GapStatus(Model):
    """Requested data that could not be captured."""

    fetcher: str = Field(description="Name of the fetcher that asked for it.")
    target: str = Field(description="The pod, object, query or service that it is about.")
    reason: str = Field(description="Why it is missing, as one CamelCase word; docs/reasons.md lists them.")
    message: str = Field(description="Why it is missing and what can be done, for people.")
    severity: Literal["gap", "note"] = Field(
        "gap",
        description="`gap`: evidence is missing. `note`: it was optional, or no longer existed; the phase is not affected.",
    )


class InvestigationStatus(Model):
    """Result of the Investigation, derived from the session's manifest."""

    observed_generation: int | None = Field(
        None, description="The metadata.generation that this status describes. -1: the operator has not seen it yet."
    )
    phase: Phase | None = Field(
        None, description="Current phase. Completed, PartiallyCompleted, Failed, TimedOut and Cancelled are final."
    )
    operator: str | None = Field(
        None, description="Identity of the operator that captures this Investigation. Other operators leave it alone."
    )
    operator_time: AwareDatetime | None = Field(
        None, description="Last heartbeat of that operator. If it stops, another operator takes over."
    )
    creator_checked: bool | None = Field(
        None,
        description="True: an operator has found that the creator may read what the Investigation asks for. It is captured even"
        " if an upgrade replaces the admission policy while it waits.",
    )
    suspended_under: str | None = Field(
        None,
        description="The admission policy that stood while the Investigation was suspended, by the uids of policy and binding."
        " It checks who ends the suspension, so the Investigation is captured even if it is older than this policy.",
    )
    conditions: list[Condition] | None = Field(
        None,
        description="Conditions: Ready, Reconciling and Stalled (as kstatus defines them), and Succeeded.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    progress: Progress | None = Field(None, description="Progress of the capture.")
    window: Annotated[list[str], Field(min_length=2, max_length=2)] | None = Field(
        None, description="Start and end of the captured window, RFC 3339 in UTC. It does not change on a retry."
    )
    session: SessionStatus | None = Field(None, description="The session that holds the artifacts.")
    artifacts: list[ArtifactStatus] | None = Field(
        None, description="The first artifacts, in the order of the spec. The session's manifest.json lists all."
    )
    artifact_count: int | None = Field(None, description="Number of all artifacts.")
    gaps: list[GapStatus] | None = Field(None, description="The first gaps. The session's manifest.json lists all.")
    headline: str | None = Field(
        None, description="What broke, in one line: the first finding, or what was looked at without finding a cause."
    )
    findings: list[FindingStatus] | None = Field(
        None, description="The first findings, causes before consequences. The session's data/findings.json lists all."
    )
    gap_count: int | None = Field(None, description="Number of all gaps.")
    start_time: AwareDatetime | None = Field(None, description="Time at which the capture began.")
    completion_time: AwareDatetime | None = Field(None, description="Time at which the capture ended.")
