"""Reads the encoded entries of a pod's log. Decodes only errors and lines with a category of `findings.error_categories`.

Runs in the thread that saves the entries. Of lines of a block that differ only in digits it decodes one.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson

from aletheia_operator.findings.entry_text import cut_middle, text_of
from aletheia_operator.findings.error_categories import CALLS, CAUSED_BY, category_of
from aletheia_operator.findings.finding import Artifact, Link
from aletheia_operator.findings.last_errors import LastErrors
from aletheia_operator.findings.last_lines import LastLines
from aletheia_operator.findings.line_choice import LineChoice
from aletheia_operator.findings.line_groups import Block, Group, Known, LineGroups, stamp_of
from aletheia_operator.findings.log_facts import MAX_LINE, MAX_RUNS, Line, LogFacts, RunFacts
from aletheia_operator.findings.own_rules import Matches, OwnRules
from aletheia_operator.findings.stack_reasons import has_continuation, repeats, with_reason
from aletheia_operator.findings.templates import PEERS_LOOKED_FOR, Templates
from aletheia_operator.findings.window_parts import WindowParts
from aletheia_operator.text.batches import LEVEL_CODES, SERIOUS, Encoded
from aletheia_operator.text.trace_ids import first_id

MAX_NEW = 4  # new lines of a block that are decoded after there were too many templates
MAX_DECODED = 50_000  # lines of one artifact, errors excluded
_ERROR, _FATAL = (bytes([LEVEL_CODES.index(level)]) for level in ("ERROR", "FATAL"))


class LogReader:
    """Reads an artifact of data/logs."""

    def __init__(self, facts: LogFacts, lock: threading.Lock, start: datetime, end: datetime, own: OwnRules) -> None:
        self._facts = facts
        self._own = own
        self._own_matches: dict[int, Matches] = {}
        self._lock = lock
        self._parts = WindowParts(start, end)
        self._artifact = Artifact()
        self._pod = ""
        self._last_lines = LastLines()
        self._last_errors = LastErrors()
        self._runs: dict[tuple[str, int | None], RunFacts] = {}
        self._templates = Templates()
        self._groups = LineGroups()
        self._choice = LineChoice()
        self._errors = 0
        self._count = 0
        self._decoded = 0

    def begin(self, metadata: Mapping[str, Any]) -> None:
        """Read the metadata that is known before the first entry: the pod, and its runs."""
        self._pod = str(metadata.get("pod") or "")
        for run in metadata.get("runs") or ():
            facts = self._run_of(run["container"], run.get("run"))
            if facts is not None:
                self._last_lines.expect(run["container"], run.get("run"), facts)

    def read(self, entries: Encoded) -> None:
        if not entries.count:
            return
        serious = entries.serious
        self._errors += len(serious)
        numbers = self._choice.of(entries, serious) if self._decoded < MAX_DECODED else serious
        latest: dict[tuple[str, int | None], int] = {}
        for some in self._parts.split(numbers, entries):
            self._read_groups(some, entries, latest)
        self._last_errors.read(serious, entries, self._count, len(self._runs))
        for (container, run), number in latest.items():
            self._remember_categorised(container, run, Link(self._artifact, self._count + number), entries.entry(number))
        self._last_lines.read(entries, self._artifact, self._count)
        self._apply_own_rules(entries)
        self._count += entries.count

    def _read_groups(self, numbers: list[int], entries: Encoded, latest: dict[tuple[str, int | None], int]) -> None:
        """Read lines that are in the same part of the window. Sets `latest`: the last categorised line of each run."""
        limited = self._templates.left_out and not self._choice.unsearched
        run, block = self._groups.of(entries, numbers, MAX_NEW if limited else None)
        self._templates.left_out += block.left_out
        new = 0
        for group in self._choice.with_category(run, block, self._groups, entries):
            known, read = group.known, 0
            if known is None and self._templates.left_out and new >= MAX_NEW:
                self._templates.left_out += group.count
                continue
            known = known or self._groups.find_alike(run, group)
            if known is None:
                new, read, known = new + 1, 1, self._read_line(group.first, entries)
                if known is not None and known.template.level != "FATAL" and not group.continues:
                    self._groups.remember(run, group, known)
            if known is None or known.template.level == "FATAL":
                if group.count > read:
                    self._read_last(group, entries, known)
                continue
            read += self._read_more(group, block, known, entries, read)
            if group.count > read:
                last = stamp_of(entries.line(group.last))
                self._templates.count_again(known.template, known.place, last, self._parts.current, group.count - read)
            if not known.template.level:
                key = known.place.container, known.run
                latest[key] = max(latest.get(key, 0), group.last)

    def _read_more(self, group: Group, block: Block, known: Known, entries: Encoded, read: int) -> int:
        """Read more lines of a group, if their hosts or stack traces may differ. Returns how many."""
        most = 0
        if group.count == read:
            return 0
        if known.template.category in CALLS:
            most = max(0, PEERS_LOOKED_FOR - known.place.count)
        elif known.traced and not read:
            most = 1  # its stack trace may now name another cause
        numbers = block.numbers_of(group, most + read)[read:] if most else []
        for number in numbers:
            self._read_line(number, entries)
        return len(numbers)

    def _read_last(self, group: Group, entries: Encoded, known: Known | None) -> None:
        """Read the last line of a group of fatal errors, or of lines that have no template, and count those between."""
        self._read_line(group.last, entries)
        if known is not None:
            stamp = stamp_of(entries.line(group.last))
            self._templates.count_again(known.template, known.place, stamp, self._parts.current, group.count - 2)

    def _read_line(self, number: int, entries: Encoded) -> Known | None:
        """Read an error with its stack trace, or another line. Returns where lines like it are counted; None if nowhere."""
        entry, at = with_reason(entries.entry(number), number, entries)
        if entry.get("level") not in SERIOUS:
            self._decoded += 1
        known = self._read_entry(entry, self._count + at, lambda: self._error_before(number, entries))
        traced = known is not None and known.template.level in SERIOUS and has_continuation(number, entries)
        return replace(known, traced=True) if known is not None and traced else known

    def _error_before(self, number: int, entries: Encoded) -> str:
        """Return the text of the last error before a line; '' if there is none."""
        at = max(entries.codes.rfind(_ERROR, 0, number), entries.codes.rfind(_FATAL, 0, number))
        return self._last_errors.last_text if at < 0 else text_of(with_reason(entries.entry(at), at, entries)[0])

    def _remember_categorised(self, container: str, run: int | None, link: Link, entry: Mapping[str, Any]) -> None:
        facts = self._run_of(container, run)
        if facts is not None and (facts.categorised is None or facts.categorised.link.entry < link.entry):
            facts.categorised = Line(cut_middle(text_of(entry), MAX_LINE), "", str(entry.get("timestamp") or ""), link)

    def _keep_last_errors(self) -> None:
        """Add the last errors to the facts of their runs."""
        for at, entry in self._last_errors.all():
            facts = self._run_of(str(entry["container"]), entry.get("run"))
            if facts is not None:
                text, stamp = cut_middle(text_of(entry), MAX_LINE), str(entry.get("timestamp") or "")
                facts.errors.append(Line(text, str(entry.get("level") or ""), stamp, Link(self._artifact, at)))

    def close(self, path: str, metadata: Mapping[str, Any]) -> None:
        self._artifact.path = path
        self._last_lines.end(self._artifact)
        self._keep_last_errors()
        self._own.add(self._own_matches)
        facts = self._facts
        with self._lock:
            facts.pods.add(self._pod)
            facts.lines += self._count
            facts.levels.update({str(level): int(count) for level, count in (metadata.get("levels") or {}).items()})
            facts.lines_of[self._pod] += self._count
            facts.errors_of[self._pod] += self._errors
            facts.templates.merge(self._templates)
            for (container, run), found in self._runs.items():
                if len(facts.runs) < MAX_RUNS:
                    facts.runs[self._pod, container, run] = found
                else:
                    facts.left_out += 1

    def _apply_own_rules(self, entries: Encoded) -> None:
        """Search every line with the patterns of admins and of the Investigation."""
        for number in range(entries.count):
            if not self._own.reads_logs:
                return
            link = Link(self._artifact, self._count + number)
            self._own.see_line(self._own_matches, self._pod, entries.entry(number), link)

    def _read_entry(self, entry: Mapping[str, Any], index: int, error_before: Callable[[], str]) -> Known | None:
        """Count a line. Keep it if it is a fatal error or has no level.

        `error_before`: returns the text of the error before it.
        Returns where lines like it are counted; None for a line of a stack trace, for one at INFO that is no pause of a garbage
        collector, or if there are too many templates or places.
        """
        level, stamp = str(entry.get("level") or ""), str(entry.get("timestamp") or "")
        text = text_of(entry)
        link = Link(self._artifact, index)
        container, run = str(entry["container"]), entry.get("run")
        if level in SERIOUS:
            if (facts := self._run_of(container, run)) is not None and level == "FATAL":
                facts.see_fatal(Line(cut_middle(text, MAX_LINE), level, stamp, link))
        elif "head" in entry and (before := error_before()) and repeats(entry, before):
            level = "ERROR"
            self._errors += 1
        elif "head" in entry:
            self._see_cause(container, run, Line(cut_middle(text.strip(), MAX_LINE), level, stamp, link, continues=True))
            return None  # a line of a stack trace: only the error before it counts
        elif level and level != "WARN":
            if category_of(text) != "pauses":
                return None
            level = "WARN"  # a long pause of a garbage collector
        elif not level and (facts := self._run_of(container, run)) is not None:
            facts.categorised = Line(cut_middle(text, MAX_LINE), level, stamp, link)
        template = self._templates.add(
            text, level, (self._pod, container), run or 0, stamp, link, self._parts.of(stamp), str(entry.get("line") or "")
        )
        if template is not None and not template.trace_id and template.count == 1:
            template.trace_id = first_id(orjson.dumps(entry))
        place = template.places.get((self._pod, container)) if template is not None else None
        return Known(template, place, run) if template is not None and place is not None else None

    def _see_cause(self, container: str, run: int | None, line: Line) -> None:
        """Keep the last cause in a stack trace."""
        facts = self._run_of(container, run) if line.text.startswith(CAUSED_BY) else None
        if facts is not None:
            facts.cause = replace(line, text=line.text.removeprefix(CAUSED_BY))

    def _run_of(self, container: str, run: int | None) -> RunFacts | None:
        found = self._runs.get((container, run))
        if found is None and len(self._runs) < MAX_RUNS:
            found = self._runs[container, run] = RunFacts(self._pod, container, run)
        return found
