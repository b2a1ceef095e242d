"""What a resource, as it is now, still wants of the supervisor. Pure: nothing is asked, started or written here."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from aletheia_operator.api.reasons import ConditionReason
from aletheia_operator.api.status import TERMINAL_PHASES

Body = Mapping[str, Any]


class Step(Enum):
    """What to do next about an Investigation."""

    NOTHING = "it is as it should be"
    STEER = "it runs or waits here: pass on its generation, cancel and suspend"
    START = "capture it, or go on with it, or write its last status again"
    SUSPEND = "say that it waits for spec.suspend to become false"
    ACKNOWLEDGE = "it has ended: say that a later change was seen"
    STAND_BACK = "another operator captures it: say that this one does not"


@dataclass(frozen=True)
class Known:
    """What this process knows of an Investigation besides the resource."""

    active: bool = False
    """It runs or is queued here."""
    ended: bool = False
    """It ended here; the body may be older than that."""
    stood_back: bool = False
    """It was said already that another operator captures it."""
    operator: str = ""
    """Identity of this operator; empty while it is not known."""
    other_is_gone: bool = False
    """The operator that marked it has given no sign of life for long."""


def next_step(body: Body, known: Known) -> Step:
    """The next step for the resource `body`."""
    metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    if known.active:
        return Step.STEER
    holder = status.get("operator")
    if known.operator and holder not in (None, known.operator) and not (known.other_is_gone and not has_ended(status)):
        return Step.NOTHING if has_ended(status) or known.stood_back else Step.STAND_BACK
    if has_ended(status) or known.ended:
        return Step.ACKNOWLEDGE if status.get("observedGeneration") != metadata["generation"] else Step.NOTHING
    if metadata.get("deletionTimestamp"):
        return Step.NOTHING
    if spec.get("suspend") and not spec.get("cancel"):
        said = _says(status, ConditionReason.SUSPENDED) and status.get("observedGeneration") == metadata["generation"]
        return Step.NOTHING if said else Step.SUSPEND
    return Step.START


def has_ended(status: Mapping[str, Any]) -> bool:
    """Whether a status is that of an Investigation that is over."""
    return status.get("phase") in TERMINAL_PHASES


def _says(status: Mapping[str, Any], reason: ConditionReason) -> bool:
    return any(one.get("reason") == reason for one in status.get("conditions") or [])
