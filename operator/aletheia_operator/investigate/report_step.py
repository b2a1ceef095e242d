"""The report step: saves report.html. It is derived from the evidence, so if it fails, there is only a note."""

import logging
from dataclasses import dataclass, replace

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.fetchers.base import Missing, Question, internal_error
from aletheia_operator.investigate.derived_step import DerivedStep
from aletheia_operator.investigate.gaps import save_failed
from aletheia_operator.investigate.saving import Answer
from aletheia_operator.investigate.threads import in_thread
from aletheia_operator.report import NoFiles, PlainFiles, Source, html_report
from aletheia_operator.session import Artifact, Manifest, WrittenFile

REPORT_KEY = "report"
REPORT = Question("Report", REPORT_KEY, "report", {})
SUMMARY = "what broke, the evidence for it, and what is missing: open it in a browser"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReportStep(DerivedStep):
    """Makes the report of one session."""

    async def make(self, manifest: Manifest) -> None:
        """Save the report, unless it is saved already. `manifest`: of the session, as it is after all other steps.

        If the session could not be sealed as requested, there is no report: it may contain no plain text.
        """
        wants_seal = self.order.spec.session is not None and self.order.spec.session.encryption is not None
        if REPORT_KEY in self.session.done or (wants_seal and self.session.seal is None):
            return
        if await self.may_begin(REPORT, "note"):
            answer = Answer()
            await self._save(manifest, answer)
            await self.journal.record_without_sync(answer.done(REPORT))

    async def _save(self, manifest: Manifest, answer: Answer) -> None:
        """Add the saved report to the answer, or a gap."""
        if spent := self.saver.account.exceeded():
            answer.missing.append(Missing("report", GapReason.BUDGET_EXCEEDED, spent, "note"))
            return
        try:
            async with self.journal.counted(REPORT_KEY), self.tools.reporting:
                written = await in_thread(self.tools.saving, self._write, manifest)
            self.saver.account.kept_bytes += written.size_bytes
            answer.artifacts.append(self._artifact(written))
        except OSError as e:
            answer.missing.append(replace(save_failed("report", e), severity="note"))
        except Exception:
            log.exception("the report of session %s could not be made", self.session.manifest.session_id)
            answer.missing.append(replace(internal_error("report"), severity="note"))

    def _write(self, manifest: Manifest) -> WrittenFile:
        files = PlainFiles(self.session.path) if self.session.seal is None else NoFiles()
        return self.session.write_report(
            html_report(Source(manifest, files, self.readers.in_memory, self.readers.kept_entries))
        )

    def _artifact(self, written: WrittenFile) -> Artifact:
        return Artifact(
            path=written.path,
            fetcher=REPORT.fetcher,
            target=REPORT.target,
            count=1,
            summary=SUMMARY,
            time_range=list(self.session.manifest.window),
            size_bytes=written.size_bytes,
            sha256=written.sha256,
            complete=True,
        )
