"""Every reason that a gap, a condition or an event can carry, each with what it means and what helps.

`docs/reasons.md` is generated from here: `python -m aletheia_operator.api.reasons FILE`.
"""

import sys
from enum import StrEnum
from pathlib import Path


class Reason(StrEnum):
    """A CamelCase word with its meaning and remedy in `text`."""

    text: str

    def __new__(cls, value: str, text: str) -> "Reason":
        member = str.__new__(cls, value)
        member._value_ = value
        member.text = text
        return member


class GapReason(Reason):
    """Why something asked for could not be had."""

    FORBIDDEN = "Forbidden", "The identity that reads lacks a right. The message names the rule that would allow it."
    NOT_FOUND = "NotFound", "The named object or trace does not exist, or no longer."
    NO_PODS = (
        "NoPods",
        "The selector or workload has no pods at present. Check the labels, or look for an older session.",
    )
    EMPTY = (
        "Empty",
        "The source answered, and knows no such service, metric or label. The message has the nearest names that it knows.",
    )
    POD_GONE = (
        "PodGone",
        "A pod of the target lived within the window and is gone, and its logs with it. Its events are kept.",
    )
    EVENTS_EXPIRED = (
        "EventsExpired",
        "The window begins before the oldest event that the API server may still have: it drops them after an hour, unless"
        " its --event-ttl says otherwise. A gap where a target is known to have lost one, else a note.",
    )
    SERVICE_ACCOUNT_MISSING = (
        "ServiceAccountMissing",
        "The service account in serviceAccountName does not exist in this namespace, or none may be used. Create it.",
    )
    NO_DATA_SOURCE = (
        "NoDataSource",
        "No DataSource has that name, or none of that type is the default. Ask an admin to create one.",
    )
    NOT_ALLOWED = (
        "NotAllowed",
        "The DataSource is not open to this namespace. Ask an admin to add it to allowedNamespaces.",
    )
    UNAVAILABLE = "Unavailable", "The source did not answer, or answered with a server error, after retries."
    TIMED_OUT = "TimedOut", "The source answered too slowly, or the Investigation's timeout ran out."
    REJECTED = (
        "Rejected",
        "The source refused the question, such as a query with a syntax error. The message has its words.",
    )
    INVALID_RESPONSE = (
        "InvalidResponse",
        "The answer is not what this source's API promises. Check the DataSource's endpoint.",
    )
    TOO_LARGE = (
        "TooLarge",
        "The answer is larger than the limit. Ask for less: a shorter window, a longer step, fewer series.",
    )
    CONTAINER_NOT_STARTED = (
        "ContainerNotStarted",
        "The container never ran, so it has no logs. The message has the waiting reason.",
    )
    LOG_UNAVAILABLE = "LogUnavailable", "The node no longer has the log, such as that of a container that was removed."
    LOG_ROTATED = (
        "LogRotated",
        "The node has rotated away what the window begins with. Investigate earlier, or let log files be read from nodes.",
    )
    POD_REPLACED = (
        "PodReplaced",
        "The pod was deleted, or replaced by one of the same name, before its log was read. Look for an older session.",
    )
    NODE_LOGS_UNAVAILABLE = (
        "NodeLogsUnavailable",
        "logs.via is node, but the log files could not be read from the node; the pods/log API was used instead.",
    )
    LOG_INCOMPLETE = (
        "LogIncomplete",
        "The log stream broke off and could not be read again to its end, or the Investigation was over before that.",
    )
    LINE_TRUNCATED = "LineTruncated", "A line was longer than the limit; its beginning was kept."
    BUDGET_EXCEEDED = (
        "BudgetExceeded",
        "There was more than the budget allows. Of logs, errors and what is around them were kept first, then an even sample;"
        " of other artifacts the beginning. Raise spec.logs.limits, or narrow the window or the targets.",
    )
    WINDOW_IN_FUTURE = "WindowInFuture", "The window ends after the resource was created; it was cut there."
    SAVE_FAILED = "SaveFailed", "The session volume refused the write, such as when it is full."
    SEALING_FAILED = (
        "SealingFailed",
        "The session could not be sealed as spec.session.encryption asks, so nothing was captured.",
    )
    UPLOAD_FAILED = (
        "UploadFailed",
        "The session could not be uploaded as spec.session.upload asks, or not be proven to lie there whole. It stays on the"
        " session volume; `aletheia session export` takes it from there.",
    )
    CANCELLED = "Cancelled", "The Investigation was cancelled before this was captured."
    INTERNAL_ERROR = "InternalError", "A fault of the operator's own. Its log has the details."


class ConditionReason(Reason):
    """Why a condition holds or not."""

    PENDING = "Pending", "Seen, not yet begun."
    SUSPENDED = "Suspended", "spec.suspend is true; set it to false to begin."
    QUEUED = "Queued", "Waits until fewer Investigations run."
    RUNNING = "Running", "Evidence is being captured."
    COMPLETED = "Completed", "Everything that was asked for is captured."
    PARTIALLY_COMPLETED = "PartiallyCompleted", "Captured, with gaps: status.gaps says what is missing and why."
    FAILED = "Failed", "Nothing could be captured: status.gaps says why."
    TIMED_OUT = "TimedOut", "The timeout ran out; what was captured until then is kept."
    CANCELLED = "Cancelled", "Cancelled; what was captured until then is kept."
    INVALID_SPEC = "InvalidSpec", "The spec was refused; the message names the field."
    SERVICE_ACCOUNT_NOT_ALLOWED = (
        "ServiceAccountNotAllowed",
        "Nobody has checked that the creator may read as spec.serviceAccountName: the admission policy is missing or younger"
        " than the Investigation. Create it again, or ask an admin to install the policy.",
    )
    CAPTURED_ELSEWHERE = (
        "CapturedElsewhere",
        "Another operator captures this Investigation (status.operator); the scopes of two operators overlap. An admin should"
        " give each its own namespaces.",
    )
    TIMEOUT_LIMITED = (
        "TimeoutLimited",
        "spec.timeout is longer than the operator allows; it ends after the longest time that is allowed.",
    )
    STATUS_REFUSED = (
        "StatusRefused",
        "The API server refuses the status, as when the resource is too large. Nothing is captured. Create a smaller one.",
    )
    ARTIFACTS_EXPIRED = (
        "ArtifactsExpired",
        "The data was removed, as spec.retention or a limit of the volume asks; the manifest still lists it.",
    )
    ANSWERED = "Answered", "The DataSource's endpoint answered when it was last looked at."
    SESSION_UNAVAILABLE = "SessionUnavailable", "The session volume cannot be used; the operator tries again."
    INTERNAL_ERROR = "InternalError", "A fault of the operator's own ended the capture. Its log has the details."


def table(reasons: type[Reason]) -> str:
    rows = [f"| `{reason.value}` | {reason.text} |" for reason in reasons]
    return "\n".join(["| reason | what it means |", "|---|---|", *rows])


def document() -> str:
    return (
        "<!-- Generated from operator/aletheia_operator/api/reasons.py by `make generate`; do not edit. -->\n"
        "# Reasons\n\n"
        "## Gaps\n\nWhy something that was asked for could not be had (`status.gaps[].reason`, and an Event of that name).\n\n"
        f"{table(GapReason)}\n\n"
        "## Conditions\n\nWhy a condition of an Investigation holds or not (`status.conditions[].reason`).\n\n"
        f"{table(ConditionReason)}\n"
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(document())
