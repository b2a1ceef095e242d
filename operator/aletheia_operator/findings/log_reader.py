"""Reads the encoded entries of a pod's log. Decodes only errors and lines with words of `findings.words`.

Runs in the thread that saves the entries. A search holds the interpreter's lock, so each covers only a part of a block.
"""

import re
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson

from aletheia_operator.findings.finding import Artifact, Link
from aletheia_operator.findings.log_facts import LAST_ERRORS, LAST_LINES, MAX_RUNS, MAX_WORDS, Line, LogFacts, RunFacts
from aletheia_operator.findings.own_rules import Matches, OwnRules
from aletheia_operator.findings.seen_lines import Known, SeenLines
from aletheia_operator.findings.stack_reasons import is_frame, repeats, shown_of, with_reason
from aletheia_operator.findings.templates import BUCKETS, Templates
from aletheia_operator.findings.words import CAUSED_BY, any_word, words_of
from aletheia_operator.text.batches import KEY, LEVEL_CODES, SERIOUS, SERIOUS_CODES, Encoded
from aletheia_operator.text.trace_ids import first_id

PIECE_BYTES = 256 * 1024
MAX_DECODED = 50_000  # lines of one artifact, errors excluded
_SEARCHED_CODES = re.compile(b"[%c%c]" % (LEVEL_CODES.index(""), LEVEL_CODES.index("WARN")))
Numbers = dict[tuple[str, int | None], deque[int]]
"""Numbers of entries of a block, by container and run."""
_HEAD_AT = (KEY.stop + 2, len(b'{"timestamp":null,'))  # where an entry's container begins


class LogReader:
    """Reads an artifact of data/logs."""

    def __init__(
        self, facts: LogFacts, lock: threading.Lock, start: datetime, end: datetime, own: OwnRules | None = None
    ) -> None:
        self._facts = facts
        self._own = own or OwnRules()
        self._own_matches: dict[int, Matches] = {}
        self._lock = lock
        self._start = start
        self._bucket_seconds = max(1.0, (end - start).total_seconds() / BUCKETS)
        self._second, self._bucket = "", 0
        self._artifact = Artifact()
        self._pod = ""
        self._heads: dict[bytes, RunFacts] = {}
        self._runs: dict[tuple[str, int | None], RunFacts] = {}
        self._templates = Templates()
        self._errors = 0
        self._count = 0
        self._decoded = 0
        self._last_error = ""
        self._seen = SeenLines()

    def begin(self, metadata: Mapping[str, Any]) -> None:
        """Read the metadata that is known before the first entry: the pod, and its runs."""
        self._pod = str(metadata.get("pod") or "")
        for run in metadata.get("runs") or ():
            facts = self._run_of(run["container"], run.get("run"))
            head = {"container": run["container"]} | ({} if run.get("run") is None else {"run": run["run"]})
            if facts is not None:
                self._heads[orjson.dumps(head)[1:-1] + b","] = facts

    def read(self, entries: Encoded) -> None:
        if not entries.count:
            return
        telling = self._telling(entries) if self._decoded < MAX_DECODED else []
        serious = [match.start() for match in SERIOUS_CODES.finditer(entries.codes)]
        errors: Numbers = {}
        latest: dict[tuple[str, int | None], int] = {}
        for number in sorted({*serious, *telling}):
            if not self._count_again(number, entries, errors, latest):
                self._read_line(number, entries, errors)
        self._remember_errors(entries, errors)
        for (container, run), number in latest.items():
            self._remember_telling(container, run, Link(self._artifact, self._count + number), entries.entry(number))
        self._remember_last(entries)
        self._apply_own_rules(entries)
        self._count += entries.count

    def _count_again(self, number: int, entries: Encoded, errors: Numbers, latest: dict[tuple[str, int | None], int]) -> bool:
        """Count a line if it is like an earlier one. Returns whether it is."""
        known = self._seen.find(shown_of(number, entries))
        if known is None or known.template.level == "FATAL":
            return False
        stamp = entries.lines[number][KEY].decode()
        self._templates.count_again(known.template, known.place, stamp, self._bucket_of(stamp))
        if not known.template.level:
            latest[known.place.container, known.run] = number
        elif known.template.level == "ERROR":
            self._errors += 1
            errors.setdefault((known.place.container, known.run), deque(maxlen=LAST_ERRORS)).append(number)
        return True

    def _read_line(self, number: int, entries: Encoded, errors: Numbers) -> None:
        """Read an error with its stack trace, or another line with words of `findings.words`."""
        entry, at = with_reason(entries.entry(number), number, entries)
        known = self._read_entry(entry, self._count + at)
        if entry.get("level") in SERIOUS:
            errors.setdefault((str(entry["container"]), entry.get("run")), deque(maxlen=LAST_ERRORS)).append(number)
        if known is not None and "head" not in entry:
            self._seen.add(shown_of(number, entries), known)

    def _remember_telling(self, container: str, run: int | None, link: Link, entry: Mapping[str, Any]) -> None:
        facts = self._run_of(container, run)
        if facts is not None and (facts.telling is None or facts.telling.link.entry < link.entry):
            facts.telling = Line(words_of(entry)[:MAX_WORDS], "", str(entry.get("timestamp") or ""), link)

    def _remember_errors(self, entries: Encoded, errors: Numbers) -> None:
        """Keep the last errors of each run."""
        for (container, run), numbers in errors.items():
            if (facts := self._run_of(container, run)) is None:
                continue
            for number in numbers:
                entry, at = with_reason(entries.entry(number), number, entries)
                link = Link(self._artifact, self._count + at)
                text, stamp = words_of(entry)[:MAX_WORDS], str(entry.get("timestamp") or "")
                facts.errors.append(Line(text, str(entry.get("level") or ""), stamp, link))

    def close(self, path: str, metadata: Mapping[str, Any]) -> None:
        self._artifact.path = path
        self._own.add(self._own_matches)
        facts = self._facts
        with self._lock:
            facts.pods.add(self._pod)
            facts.lines += self._count
            facts.levels.update({str(level): int(count) for level, count in (metadata.get("levels") or {}).items()})
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

    def _telling(self, entries: Encoded) -> Iterator[int]:
        """Yield the numbers of lines without a level or with level WARN that contain words of `findings.words`."""
        codes, lines = entries.codes, entries.lines
        searched = [match.start() for match in _SEARCHED_CODES.finditer(codes)]
        searched = [number for number in searched if codes[number] or not is_frame(lines[number])]
        pattern = any_word()
        for numbers, piece in _pieces(entries, searched):
            line, counted, last = 0, 0, -1
            for match in pattern.finditer(piece):
                line, counted = line + piece.count(b"\n", counted, match.start()), match.start()
                if line != last:
                    last = line
                    self._decoded += 1
                    yield numbers[line]

    def _read_entry(self, entry: Mapping[str, Any], index: int) -> Known | None:
        """Count a line. Keep it if it is a fatal error or has no level.

        Returns where lines like it are counted; None for a line of a stack trace, or if there are too many templates or places.
        """
        level, stamp = str(entry.get("level") or ""), str(entry.get("timestamp") or "")
        text = words_of(entry)
        link = Link(self._artifact, index)
        container, run = str(entry["container"]), entry.get("run")
        if level in SERIOUS:
            self._errors += 1
            self._last_error = text
            if (facts := self._run_of(container, run)) is not None and level == "FATAL":
                facts.fatal = Line(text[:MAX_WORDS], level, stamp, link)
        elif "head" in entry and self._last_error and repeats(entry, self._last_error):
            level = "ERROR"
            self._errors += 1
        elif "head" in entry:
            self._see_cause(container, run, Line(text.strip()[:MAX_WORDS], level, stamp, link, continues=True))
            return None  # a line of a stack trace: only the error before it counts
        elif not level and (facts := self._run_of(container, run)) is not None:
            facts.telling = Line(text[:MAX_WORDS], level, stamp, link)
        template = self._templates.add(text, level, (self._pod, container), run or 0, stamp, link, self._bucket_of(stamp))
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

    def _remember_last(self, entries: Encoded) -> None:
        """Keep the last lines of each run in a block of entries."""
        block = entries.block
        for head, facts in self._heads.items():
            found: list[tuple[int, int, int]] = []  # start, end, and number of the line
            at, number, counted = len(block), entries.count - 1, len(block)
            while len(found) < LAST_LINES and (at := block.rfind(head, 0, at)) >= 0:
                start = block.rfind(b"\n", 0, at) + 1
                number, counted = number - block.count(b"\n", start, counted), start
                if at - start in _HEAD_AT:
                    end = block.find(b"\n", at)
                    found.append((start, len(block) if end < 0 else end, number))
                at = start
            for start, end, number in reversed(found):
                entry = orjson.loads(block[start:end].removesuffix(b","))
                text = words_of(entry)[:MAX_WORDS]
                link = Link(self._artifact, self._count + number)
                line = Line(text, str(entry.get("level") or ""), str(entry["timestamp"] or ""), link, "head" in entry)
                facts.lines.append(line)

    def _bucket_of(self, stamp: str) -> int:
        second = stamp[:19]
        if second and second != self._second:
            moment = datetime.fromisoformat(second).replace(tzinfo=UTC)
            self._second = second
            self._bucket = min(BUCKETS - 1, max(0, int((moment - self._start).total_seconds() // self._bucket_seconds)))
        return self._bucket


def _pieces(entries: Encoded, numbers: list[int]) -> Iterator[tuple[list[int], bytes]]:
    """Yield groups of these lines, with their numbers. A group is small, unless a single line is long."""
    start, size = 0, 0
    for at, number in enumerate(numbers):
        size += len(entries.lines[number])
        if size > PIECE_BYTES or at + 1 == len(numbers):
            part = numbers[start : at + 1]
            yield part, b"\n".join([entries.lines[number] for number in part])
            start, size = at + 1, 0
