"""Decides the supervisor's next step for a resource. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from aletheia_operator.api.reasons import ConditionReason
from aletheia_operator.api.status import TERMINAL_PHASES

Body = Mapping[str, Any]


class Step(Enum):
    """The next step for an Investigation."""

    NOTHING = "nothing to do"
    STEER = "it runs or waits here: pass on its generation, cancel and suspend"
    START = "start or resume its capture, or write its last status again"
    SUSPEND = "write to the status that it waits for spec.suspend to become false"
    ACKNOWLEDGE = "it has ended: write to the status that a later change was seen"
    MARK_CONTESTED = "another operator captures it: write that to the status"


@dataclass(frozen=True)
class Known:
    """What this process knows of an Investigation in addition to the resource."""

    is_new: bool = False
    """Whether this process observes it for the first time."""
    active: bool = False
    """Whether it runs or is queued here."""
    ended: bool = False
    """Whether it ended here. The body may be older than that."""
    contested: bool = False
    """Whether its status says that another operator captures it."""
    operator: str = ""
    """Identity of this operator; empty while unknown."""
    other_is_gone: bool = False
    """Whether the operator that marked it is gone: its heartbeat has stopped."""


def next_step(body: Body, known: Known) -> Step:
    """Return the next step for the resource `body`."""
    metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    if known.active:
        return Step.STEER
    holder = status.get("operator")
    if known.operator and holder not in (None, known.operator) and not (known.other_is_gone and not has_ended(status)):
        return Step.NOTHING if has_ended(status) or known.contested else Step.MARK_CONTESTED
    if has_ended(status) or known.ended:
        return Step.ACKNOWLEDGE if status.get("observedGeneration") != metadata["generation"] else Step.NOTHING
    if metadata.get("deletionTimestamp"):
        return Step.NOTHING
    if spec.get("suspend") and not spec.get("cancel"):
        is_written = (
            _has_reason(status, ConditionReason.SUSPENDED) and status.get("observedGeneration") == metadata["generation"]
        )
        return Step.NOTHING if is_written and not known.is_new else Step.SUSPEND  # the policy may be another one
    return Step.START


def has_ended(status: Mapping[str, Any]) -> bool:
    """Return whether a status is that of an Investigation that has ended."""
    return status.get("phase") in TERMINAL_PHASES


def _has_reason(status: Mapping[str, Any], reason: ConditionReason) -> bool:
    return any(condition.get("reason") == reason for condition in status.get("conditions") or [])
