"""The resource `sessions` as the API shows it: one object, a list, a table (meta.k8s.io/v1 Table). Pure."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from aletheia_operator.api.crd import model_schema
from aletheia_operator.api.paths import ARTIFACTS_GROUP as GROUP
from aletheia_operator.api.paths import ARTIFACTS_VERSION as VERSION
from aletheia_operator.api.types import Model
from aletheia_operator.serve.catalog import Summary
from aletheia_operator.text.display import for_status, for_terminal
from aletheia_operator.text.sizes import readable_duration, readable_size

API_VERSION = f"{GROUP}/{VERSION}"
KIND = "Session"


class SessionInvestigation(Model):
    """The Investigation that the session belongs to."""

    name: str = Field(description="Name of the Investigation, in the session's namespace.")
    uid: str = Field(description="Uid of the Investigation.")


class SessionFacts(Model):
    """The fields of a session besides its metadata."""

    investigation: SessionInvestigation = Field(description="The Investigation that the session belongs to.")
    phase: str = Field(description="How the capture ended; Running until then.")
    headline: str | None = Field(default=None, description="What broke, in one line. Absent if nothing could be judged.")
    start_time: datetime = Field(description="When the capture began.")
    completion_time: datetime | None = Field(default=None, description="When the capture ended.")
    expiration_time: datetime | None = Field(default=None, description="When the data was removed. Absent while it is there.")
    artifact_count: int = Field(description="Number of artifacts.")
    gap_count: int = Field(description="Number of gaps, notes excluded.")
    size_bytes: int = Field(description="Size of all artifacts in bytes.")
    sealed: bool = Field(description="Whether the artifacts are encrypted.")
    manifest_sha256: str = Field(description="SHA-256 of manifest.json, in hex.")


_COLUMNS: Sequence[tuple[str, str, int, str]] = (
    ("Name", "string", 0, "Id of the session."),
    ("Investigation", "string", 0, "Name of its Investigation."),
    ("Phase", "string", 0, "How the capture ended."),
    ("Artifacts", "integer", 0, "Number of artifacts."),
    ("Gaps", "integer", 0, "Number of gaps."),
    ("Size", "string", 0, "Size of all artifacts."),
    ("Age", "string", 0, "Time since the capture began."),
    ("Sealed", "boolean", 1, "Whether the artifacts are encrypted."),
    ("Headline", "string", 1, "What broke, in one line."),
)


def session(summary: Summary) -> dict[str, Any]:
    """Return a session as a Kubernetes object."""
    facts = SessionFacts(
        investigation=SessionInvestigation(name=summary.name, uid=summary.uid),
        phase=summary.phase,
        headline=summary.headline,
        start_time=summary.start_time,
        completion_time=summary.completion_time,
        expiration_time=summary.expiration_time,
        artifact_count=summary.artifact_count,
        gap_count=summary.gap_count,
        size_bytes=summary.size_bytes,
        sealed=summary.sealed,
        manifest_sha256=summary.manifest_sha256,
    )
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": _metadata(summary), **facts.to_json()}


def session_list(summaries: Sequence[Summary], token: str) -> dict[str, Any]:
    """Return a list of sessions. `token`: continue token of the next page; '' if there is no further page."""
    items = [session(summary) for summary in summaries]
    return {"apiVersion": API_VERSION, "kind": f"{KIND}List", "metadata": _list_metadata(token), "items": items}


def table(summaries: Sequence[Summary], token: str, now: datetime, include_object: str) -> dict[str, Any]:
    """Return the table that `kubectl get` prints. `include_object`: `None`, `Metadata` or `Object`, as in the request."""
    columns = [
        {
            "name": name,
            "type": kind,
            "format": "name" if name == "Name" else "",
            "description": description,
            "priority": priority,
        }
        for name, kind, priority, description in _COLUMNS
    ]
    rows = [{"cells": _cells(summary, now), **_row_object(summary, include_object)} for summary in summaries]
    return {
        "apiVersion": "meta.k8s.io/v1",
        "kind": "Table",
        "metadata": _list_metadata(token),
        "columnDefinitions": columns,
        "rows": rows,
    }


def schema() -> dict[str, Any]:
    """Return the OpenAPI schema of a session."""
    facts = model_schema(SessionFacts)
    names = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    return {
        "type": "object",
        "description": "The evidence of one Investigation, in its namespace. Its files are below sessions/NAME/files.",
        "properties": {**names, **facts["properties"]},
        "x-kubernetes-group-version-kind": [{"group": GROUP, "version": VERSION, "kind": KIND}],
    }


def status(code: int, reason: str, message: str) -> dict[str, Any]:
    """Return an error as the Kubernetes API does (metav1.Status)."""
    return {
        "apiVersion": "v1",
        "kind": "Status",
        "metadata": {},
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": for_status(message, 2000),
    }


def token_after(session_id: str) -> str:
    """Return the continue token of a page. `session_id`: the last of the page."""
    return base64.urlsafe_b64encode(session_id.encode()).decode()


def session_id_of(token: str) -> str:
    """Return the last session id of the page before a continue token. Raises ValueError."""
    try:
        return base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError) as e:
        raise ValueError("the continue token is not one of this API: list again from the beginning") from e


def wants_table(accept: str) -> bool:
    """Return whether a request's Accept header prefers a table over objects."""
    for offer in accept.split(","):
        media_type, *parameters = (part.strip() for part in offer.split(";"))
        if media_type != "application/json":
            continue
        given: Mapping[str, str] = dict(part.split("=", 1) for part in parameters if "=" in part)
        if given.get("as") == "Table":
            if given.get("g") == "meta.k8s.io" and given.get("v") == "v1":
                return True
        elif "as" not in given:
            return False
    return False


def _metadata(summary: Summary) -> dict[str, Any]:
    return {
        "name": summary.session_id,
        "namespace": summary.namespace,
        "uid": summary.uid,
        "resourceVersion": str(summary.version),
        "creationTimestamp": summary.start_time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _list_metadata(token: str) -> dict[str, Any]:
    return {"resourceVersion": "0", **({"continue": token} if token else {})}


def _row_object(summary: Summary, include: str) -> dict[str, Any]:
    if include == "Object":
        return {"object": session(summary)}
    if include == "None":
        return {}
    return {
        "object": {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": _metadata(summary)},
    }


def _cells(summary: Summary, now: datetime) -> list[Any]:
    return [
        summary.session_id,
        for_terminal(summary.name),
        for_terminal(summary.phase) if summary.expiration_time is None else f"{for_terminal(summary.phase)} (expired)",
        summary.artifact_count,
        summary.gap_count,
        readable_size(summary.size_bytes),
        readable_duration((now - summary.start_time).total_seconds()),
        summary.sealed,
        for_terminal(summary.headline or ""),
    ]
