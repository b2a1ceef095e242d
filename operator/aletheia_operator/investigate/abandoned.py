"""Finishes a session that no capture works on any more: its manifest must not remain `Running`.

That happens if the manifest could not be saved at the end, or if the Investigation was deleted during its capture.
"""

from datetime import datetime

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.fetchers.base import Missing, Question
from aletheia_operator.investigate.capture import PLAN_KEY
from aletheia_operator.investigate.decisions import conclude, interruption_of
from aletheia_operator.investigate.findings_step import FINDINGS_KEY
from aletheia_operator.investigate.gaps import OWN, gap_of
from aletheia_operator.investigate.planning import FormerPlan
from aletheia_operator.investigate.timeline_step import TIMELINE_KEY
from aletheia_operator.session import Gap, Manifest, Session, SessionLayout
from aletheia_operator.session.manifest_file import read_manifest

DELETED = "the Investigation was deleted before this was captured"
TAKEN_OVER = "another operator took the Investigation over before this was captured here; its own session has it"


def end_abandoned(
    layout: SessionLayout, session_id: str, now: datetime, phase: str | None = None, taken_over: bool = False
) -> Manifest:
    """Write the final manifest from the journal, and return it. A finished manifest is returned unchanged.

    `phase`: the final phase in the Investigation's status. None: the Investigation is gone, or, with `taken_over`, another
    operator captured it on another volume. Questions without an answer in the journal become gaps. Blocks. Raises SessionBusy
    if a capture works on the session after all, OSError, and Unreadable.
    """
    with Session(layout, read_manifest(layout, session_id)) as session:
        if not session.manifest.finished:
            session.finish(_concluded(session, now, phase, TAKEN_OVER if taken_over else DELETED))
        return session.manifest


def _concluded(session: Session, now: datetime, phase: str | None, why: str) -> Manifest:
    former = FormerPlan.of(session.progress.plan, ())
    questions = None if former is None else former.questions
    manifest = session.manifest_so_far([FINDINGS_KEY, TIMELINE_KEY, PLAN_KEY, *(question.key for question in questions or ())])
    gaps = [*manifest.gaps]
    gaps += [_unanswered(question, phase, why) for question in questions or () if question.key not in session.done]
    if not questions and not manifest.gaps:
        gaps.append(_unanswered(Question(OWN, "plan", "the plan", {}), phase, why))
    if (manifest.spec.get("session") or {}).get("upload"):
        message = "the capture ended before its upload. The session stays on its volume"
        gaps.append(gap_of(OWN, Missing("session.upload", GapReason.UPLOAD_FAILED, message)))
    if phase is not None:
        message = "the manifest could not be saved when the capture ended; it was written later, from the journal"
        gaps.append(gap_of(OWN, Missing("manifest.json", GapReason.SAVE_FAILED, message)))
    interruption = interruption_of(session.progress.interruption) or (GapReason.CANCELLED if phase is None else None)
    return manifest.model_copy(
        update={
            "phase": phase or conclude(manifest.artifacts, gaps, interruption),
            "completion_time": now,
            "questions": len(questions or ()),
            "gaps": gaps,
        }
    )


def _unanswered(question: Question, phase: str | None, why: str) -> Gap:
    if phase is None:
        return gap_of(question.fetcher, Missing(question.target, GapReason.CANCELLED, why))
    words = "its result was lost: the session volume could not be written"
    return gap_of(question.fetcher, Missing(question.target, GapReason.SAVE_FAILED, words))
