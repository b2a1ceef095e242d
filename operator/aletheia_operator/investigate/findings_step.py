"""The findings step: saves data/findings.json. It is derived from the evidence, so if it fails, there is only a gap."""

import logging
from dataclasses import dataclass, replace
from typing import Any

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.api.status import FindingStatus
from aletheia_operator.fetchers.base import Document, Missing, Outcome, Question, internal_error
from aletheia_operator.findings import Verdict, judge, kept_entries
from aletheia_operator.findings.verdict import SHOWN
from aletheia_operator.investigate.budget import Usage
from aletheia_operator.investigate.derived_step import DerivedStep, one_batch
from aletheia_operator.investigate.saving import OWN_SOURCE, Answer
from aletheia_operator.investigate.threads import in_thread
from aletheia_operator.report import LoadedDocument
from aletheia_operator.session import VerdictSummary
from aletheia_operator.session.manifest import wordless_headline
from aletheia_operator.text.sizes import counted

FINDINGS_KEY = "findings"
FINDINGS = Question("Findings", FINDINGS_KEY, "findings", {})
SEALED = "sealed: see data/findings.json.age"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FindingsStep(DerivedStep):
    """Judges one session."""

    async def make(self) -> None:
        """Save the findings, unless they are done or there is nothing to judge."""
        done = self.session.done
        origins = [origin for answer in done.values() for origin in answer.origins.values()]
        if FINDINGS_KEY in done or not any(self.readers.reads(origin) for origin in origins):
            return
        if not await self.may_begin(FINDINGS):
            return
        answer, summary = Answer(), None
        try:
            async with self.journal.counted(FINDINGS_KEY):
                unread = await self.read_again(self.origins(self.readers.reads))
                verdict = await in_thread(self.tools.saving, self._judge)
                summary = self._summary(verdict)
                document = self._document(verdict, unread)
                await self.saver.save(FINDINGS, document, answer, Usage())
        except Exception:
            log.exception("the findings of session %s could not be made", self.session.manifest.session_id)
            answer.missing.append(internal_error("findings"))
        await self.journal.record_without_sync(replace(answer.done(FINDINGS), verdict=summary))

    def _judge(self) -> Verdict:
        gaps = [gap for done in self.session.done.values() for gap in done.gaps if gap.severity == "gap"]
        verdict = judge(self.readers.evidence, self.order.owner.namespace, len(gaps))
        if self.session.seal is not None:
            self.readers.kept_entries = kept_entries(self.readers.evidence, verdict)
        return verdict

    def _summary(self, verdict: Verdict) -> VerdictSummary:
        """Return headline and findings for manifest and status. For a sealed session they have no text of the evidence."""
        namespace = self.order.owner.namespace
        shown = [_status(finding.to_json(namespace)) for finding in verdict.findings[:SHOWN]]
        if self.session.seal is None:
            return VerdictSummary(headline=verdict.headline, findings=shown)
        quiet = [_without_content(finding) for finding in shown]
        return VerdictSummary(headline=wordless_headline(quiet, SEALED), findings=quiet)

    def _document(self, verdict: Verdict, unread: list[str]) -> Document:
        outcome = Outcome(summary=verdict.headline, counts=counted(len(verdict.findings), "finding"))
        if verdict.failed or self.readers.not_in_findings:
            what = ", ".join([*verdict.failed, *sorted(self.readers.not_in_findings)[:3]])
            message = f"a fault of the operator's own, which its log has: the findings are without {what}"
            outcome.missing.append(Missing("findings", GapReason.INTERNAL_ERROR, message))
        if left_out := self.readers.evidence.left_out:
            what = ", ".join(counted(number, kind) for kind, number in left_out.items())
            message = f"made without {what}, which do not fit into memory; the evidence has them"
            outcome.missing.append(Missing("findings", GapReason.BUDGET_EXCEEDED, message, "note"))
        if unread:
            message = "captured before a restart of the operator, and cannot be read again: the findings are without"
            message += f" {', '.join(unread[:3])}{f' and {len(unread) - 3} more' if len(unread) > 3 else ''}"
            outcome.missing.append(Missing("findings", GapReason.UNAVAILABLE, message, "note"))
        owner = self.order.owner
        metadata = {
            "investigation": owner.name,
            "namespace": owner.namespace,
            "headline": verdict.headline,
            "looked_at": verdict.looked_at,
            "not_read": unread,
            "left_out": verdict.left_out,
            "changes": verdict.changes,
            "top_errors": verdict.top_errors,
        }
        entries = [finding.to_json(owner.namespace) for finding in verdict.findings]
        self.readers.in_memory["findings"] = LoadedDocument(metadata, entries)
        return Document("findings", OWN_SOURCE, ("findings",), metadata, one_batch(entries), outcome)


def _status(finding: dict[str, Any]) -> FindingStatus:
    fields = FindingStatus.model_fields
    return FindingStatus.model_validate({key: value for key, value in finding.items() if key in fields or key == "firstSeen"})


def _without_content(finding: FindingStatus) -> FindingStatus:
    """Return a finding without words, times and names that may come from logs, for the status of a sealed session."""
    subject = finding.object
    if subject.kind == "Service":
        subject = subject.model_copy(update={"name": "sealed"})
    return finding.model_copy(update={"message": SEALED, "evidence": [], "first_seen": None, "object": subject})
