"""All reasons of gaps, conditions and events, each with its meaning and remedy.

`python -m aletheia_operator.api.reasons FILE` generates `docs/reasons.md` from them.
"""

import sys
from enum import StrEnum
from pathlib import Path


class Reason(StrEnum):
    """A CamelCase word. `text`: its meaning and remedy."""

    text: str

    def __new__(cls, value: str, text: str) -> "Reason":
        member = str.__new__(cls, value)
        member._value_ = value
        member.text = text
        return member


class GapReason(Reason):
    """Why requested data could not be captured."""

    FORBIDDEN = (
        "Forbidden",
        "The identity that reads lacks a right. The message names the rule that grants it: add it to a Role.",
    )
    NOT_FOUND = (
        "NotFound",
        "The named object or trace does not exist (any more). Check the name; the message may suggest others.",
    )
    NO_PODS = (
        "NoPods",
        "The selector or workload has no pods at present. Check the labels, or look for an older session.",
    )
    EMPTY = (
        "Empty",
        "The source answered, but knows no such service, metric or label. Check the name; the message has similar known names.",
    )
    POD_GONE = (
        "PodGone",
        "A pod of the target existed within the window and was deleted, with its logs. Its events are kept.",
    )
    EVENTS_EXPIRED = (
        "EventsExpired",
        "The window begins before the oldest event that the API server can still have: it deletes events after an hour, or"
        " after its --event-ttl. A gap if a target is known to have lost events, else a note. Investigate sooner.",
    )
    SERVICE_ACCOUNT_MISSING = (
        "ServiceAccountMissing",
        "The ServiceAccount in spec.serviceAccountName does not exist in this namespace, or may not be used. Create it.",
    )
    NO_DATA_SOURCE = (
        "NoDataSource",
        "No DataSource has that name, or none of that type is marked as default. Ask an admin to create one.",
    )
    NOT_ALLOWED = (
        "NotAllowed",
        "The DataSource does not allow this namespace. Ask an admin to add the namespace to allowedNamespaces, or to confine"
        " the DataSource: one that is not confined is closed to all namespaces that it does not name. Or"
        " spec.redaction asks for less than an admin allows: this is a note, and the admin's level was used.",
    )
    UNAVAILABLE = (
        "Unavailable",
        "The source did not answer, or answered with a server error, also after retries. Check that it runs, and try again.",
    )
    TIMED_OUT = (
        "TimedOut",
        "The source answered too slowly, or the Investigation's timeout ended first. Ask for less, or raise spec.timeout.",
    )
    REJECTED = (
        "Rejected",
        "The source refused the query, for example for a syntax error. The message quotes its answer: correct the query.",
    )
    INVALID_RESPONSE = (
        "InvalidResponse",
        "The answer does not follow the API of this type of source. Check the DataSource's type and endpoint.",
    )
    TOO_LARGE = (
        "TooLarge",
        "The answer is larger than the limit. Ask for less: a shorter window, a longer step, fewer series.",
    )
    CONTAINER_NOT_STARTED = (
        "ContainerNotStarted",
        "The container never ran, so it has no logs. The message has the reason for which it waits.",
    )
    LOG_UNAVAILABLE = "LogUnavailable", "The node no longer has the log, for example because the container was removed."
    LOG_ROTATED = (
        "LogRotated",
        "Log rotation on the node removed the first part of the window. Investigate sooner, or let the operator read log"
        " files from nodes (chart value nodeLogs).",
    )
    POD_REPLACED = (
        "PodReplaced",
        "The pod was deleted, or replaced by one of the same name, before its log was read. Look for an older session.",
    )
    NODE_LOGS_UNAVAILABLE = (
        "NodeLogsUnavailable",
        "spec.logs.via is node, but the log files could not be read from the node. The pods/log API was used instead.",
    )
    LOG_INCOMPLETE = (
        "LogIncomplete",
        "The log stream broke off and could not be read again to its end, or the Investigation ended before that.",
    )
    LINE_TRUNCATED = "LineTruncated", "A line was longer than spec.logs.limits.lineBytes. Its beginning was kept."
    BUDGET_EXCEEDED = (
        "BudgetExceeded",
        "There was more data than the limit allows. Of logs, errors and the lines around them were kept first, then an even"
        " sample; of other artifacts the beginning. Raise spec.logs.limits, or narrow the window or the targets."
        " If the message names a quota: delete Investigations that are no longer needed, or ask an admin to raise the quota.",
    )
    WINDOW_IN_FUTURE = (
        "WindowInFuture",
        "spec.window ends after the creation of the Investigation. The window was cut to end at the creation.",
    )
    SAVE_FAILED = (
        "SaveFailed",
        "The session volume refused the write, for example because it is full. Ask an admin to free or add space.",
    )
    SEALING_FAILED = (
        "SealingFailed",
        "The session could not be encrypted as spec.session.encryption asks, so nothing was captured.",
    )
    UPLOAD_FAILED = (
        "UploadFailed",
        "The session could not be uploaded as spec.session.upload asks, or the copy could not be verified. The session stays on"
        " the session volume: get it with `aletheia session export`.",
    )
    CANCELLED = "Cancelled", "The Investigation was cancelled before this was captured."
    INTERNAL_ERROR = "InternalError", "An error in the operator itself. Its log has the details; please report it."


CONDITIONS_OF_PHASE = ("Ready", "Reconciling", "Stalled", "Succeeded")
"""Types of the conditions that the operator derives from the phase. It leaves others unchanged."""


class ConditionReason(Reason):
    """Why a condition has its status."""

    SUSPENDED = "Suspended", "spec.suspend is true. Set it to false to start."
    QUEUED = "Queued", "Other Investigations run. This one starts when a place is free. The message has its place in the queue."
    QUEUE_FULL = (
        "QueueFull",
        "Too many Investigations of this namespace wait already (chart value maxNamespaceQueued). This one is taken up when the"
        " queue has room, the oldest first.",
    )
    RUNNING = "Running", "The capture runs."
    COMPLETED = "Completed", "All requested data is captured."
    PARTIALLY_COMPLETED = "PartiallyCompleted", "Captured with gaps. status.gaps says what is missing and why."
    FAILED = "Failed", "Nothing could be captured. status.gaps says why."
    TIMED_OUT = "TimedOut", "spec.timeout ended the capture. What was captured by then is kept."
    CANCELLED = "Cancelled", "spec.cancel ended the capture. What was captured by then is kept."
    INVALID_SPEC = "InvalidSpec", "The spec is invalid. The message names the field: create a corrected Investigation."
    SERVICE_ACCOUNT_NOT_ALLOWED = (
        "ServiceAccountNotAllowed",
        "Nothing has checked that the creator may use spec.serviceAccountName: the admission policy is missing, or newer than"
        " the Investigation. Create the Investigation again, or ask an admin to install the policy.",
    )
    CREATOR_NOT_CHECKED = (
        "CreatorNotChecked",
        "Nobody has checked that the creator may read what the Investigation asks for: the admission policy is missing, or"
        " younger than the Investigation. Create it again, or ask an admin to install the policy.",
    )
    CAPTURED_ELSEWHERE = (
        "CapturedElsewhere",
        "Another operator captures this Investigation (status.operator): two operators watch the same namespace. An admin"
        " should give each operator its own namespaces.",
    )
    TIMEOUT_LIMITED = (
        "TimeoutLimited",
        "spec.timeout is longer than the operator allows. The capture ends after the longest allowed time.",
    )
    STATUS_REFUSED = (
        "StatusRefused",
        "The API server refuses the status, for example because the resource is too large. Nothing is captured. Create a"
        " smaller Investigation.",
    )
    ARTIFACTS_EXPIRED = (
        "ArtifactsExpired",
        "The artifacts were removed, because of spec.retention or a limit of the volume. The manifest still lists them.",
    )
    ANSWERED = "Answered", "The DataSource's endpoint answered the last check."
    NAMESPACE_LABEL = (
        "NamespaceLabel",
        "Queries of the DataSource are limited to the Investigation's namespace by a label.",
    )
    NAMESPACE_TENANT = (
        "NamespaceTenant",
        "Each namespace reads its own tenant of the DataSource. The server must enforce tenants.",
    )
    NAMED_NAMESPACES = (
        "NamedNamespaces",
        "The namespaces in allowedNamespaces read all data of the DataSource, also that of others. To confine them, set"
        " namespaceLabel of its type, tenant.fromNamespace or tenant.template.",
    )
    ALL_NAMESPACES = (
        "AllNamespaces",
        "allowedNamespaces has '*', so every namespace reads all data of the DataSource. To confine them, set namespaceLabel of"
        " its type, tenant.fromNamespace or tenant.template, or name the namespaces.",
    )
    NOT_CONFINED = (
        "NotConfined",
        "The DataSource would show data of all namespaces, so none may use it. Set namespaceLabel of its type,"
        " tenant.fromNamespace or tenant.template, or name the namespaces that may read everything in allowedNamespaces.",
    )
    SESSION_UNAVAILABLE = "SessionUnavailable", "The session volume cannot be used. The operator tries again."
    INTERNAL_ERROR = (
        "InternalError",
        "An error in the operator itself ended the capture. Its log has the details; please report it.",
    )


def table(reasons: type[Reason]) -> str:
    """Return the Markdown table of `reasons`."""
    rows = [f"| `{reason.value}` | {reason.text} |" for reason in reasons]
    return "\n".join(["| reason | what it means |", "|---|---|", *rows])


def document() -> str:
    """Return the text of docs/reasons.md."""
    return (
        "<!-- Generated from operator/aletheia_operator/api/reasons.py by `make generate`; do not edit. -->\n"
        "# Reasons\n\n"
        "## Gaps\n\nWhy requested data could not be captured (`status.gaps[].reason`, and an Event with that reason).\n\n"
        f"{table(GapReason)}\n\n"
        "## Conditions\n\nWhy a condition of an Investigation or DataSource has its status (`status.conditions[].reason`).\n\n"
        f"{table(ConditionReason)}\n"
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(document())
