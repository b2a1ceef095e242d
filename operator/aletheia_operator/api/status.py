"""What became of an Investigation: its status, a projection of the session's manifest."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from aletheia_operator.api.conditions import Condition
from aletheia_operator.api.types import (
    Model,
)

Phase = Literal["Pending", "Queued", "Running", "Completed", "PartiallyCompleted", "Failed", "TimedOut", "Cancelled"]


TERMINAL_PHASES: frozenset[str] = frozenset({"Completed", "PartiallyCompleted", "Failed", "TimedOut", "Cancelled"})


class Progress(Model):
    """How far the capture is."""

    done: int = Field(description="Questions answered, or given up with a gap.")
    total: int = Field(description="Questions asked.")
    text: str = Field(description="The same as `done/total`.")


class UploadStatus(Model):
    """Where a copy of the session lies, whole and held against its digests."""

    data_source: str = Field(description="The DataSource that took it.")
    url: str = Field(description="`s3://{bucket}/{key of the session}/`; manifest.json and data/ lie below it.")


class SessionStatus(Model):
    """Where the evidence lies."""

    id: str = Field(description="The session's id.")
    path: str = Field(description="The session's directory on the session volume, as the operator sees it.")
    size_bytes: int | None = Field(None, description="Bytes of all artifacts.")
    size: str | None = Field(None, description="The same for people.")
    manifest_sha256: str | None = Field(None, alias="manifestSha256", description="SHA-256 of manifest.json, in hex.")
    uploaded: UploadStatus | None = Field(None, description="Where a copy lies, once it was uploaded.")


class ArtifactStatus(Model):
    """One file of evidence."""

    path: str = Field(description="Path below the session's directory.")
    fetcher: str = Field(description="Which fetcher wrote it.")
    target: str = Field(description="What it was asked about.")
    count: int = Field(description="Entries in the file.")
    summary: str = Field(description="One line for people.")
    time_range: Annotated[list[str], Field(min_length=2, max_length=2)] = Field(
        description="Start and end of the window, RFC 3339."
    )
    size_bytes: int = Field(description="Size of the file.")
    sha256: str = Field(description="SHA-256 of the file, in hex.")
    complete: bool = Field(description="False where something asked for is missing from it; the gaps say what.")


class GapStatus(Model):
    """Something asked for that could not be had."""

    fetcher: str = Field(description="Which fetcher asked.")
    target: str = Field(description="What was asked for.")
    reason: str = Field(description="Why it could not be had, in one CamelCase word.")
    message: str = Field(description="Why, and what would help, for people.")
    severity: Literal["gap", "note"] = Field(
        "gap",
        description="`gap`: evidence is missing. `note`: nobody could have had it, or it was optional; the phase stays.",
    )


class InvestigationStatus(Model):
    """What became of the Investigation. A projection of the session's manifest."""

    observed_generation: int | None = Field(None, description="The generation that this status speaks of; -1 before the first.")
    phase: Phase | None = Field(None, description="Where the Investigation stands.")
    operator: str | None = Field(None, description="Identity of the operator that captures it; another one leaves it alone.")
    operator_time: AwareDatetime | None = Field(
        None, description="When that operator said last that it still captures; another one takes over if it no longer does."
    )
    conditions: list[Condition] | None = Field(
        None,
        description="Ready, Reconciling, Stalled (kstatus) and Succeeded.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    progress: Progress | None = Field(None, description="How far the capture is.")
    window: Annotated[list[str], Field(min_length=2, max_length=2)] | None = Field(
        None, description="Start and end of the window as it was fixed, RFC 3339."
    )
    session: SessionStatus | None = Field(None, description="Where the evidence lies.")
    artifacts: list[ArtifactStatus] | None = Field(
        None, description="The first artifacts, in the order of the spec; the session's manifest.json has all."
    )
    artifact_count: int | None = Field(None, description="How many artifacts there are.")
    gaps: list[GapStatus] | None = Field(None, description="The first gaps; the session's manifest.json has all.")
    gap_count: int | None = Field(None, description="How many gaps there are.")
    start_time: AwareDatetime | None = Field(None, description="When the capture began.")
    completion_time: AwareDatetime | None = Field(None, description="When the capture ended.")
