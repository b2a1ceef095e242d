"""Adds the reason in its stack trace to an error: the exception, or the last cause that it names. Bounded, pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from aletheia_operator.findings.entry_text import cut_middle, text_of
from aletheia_operator.findings.error_categories import CAUSED_BY
from aletheia_operator.findings.log_facts import MAX_LINE, TRACEBACK
from aletheia_operator.findings.reason_lines import gives_reason, is_exception, tries_again
from aletheia_operator.text.batches import KEY, SERIOUS, Encoded

MAX_FRAMES = 60  # lines of a stack trace in which the exception is looked for
_HEAD = b'"head":"'
_EMPTY = b'"line":""}'
_INDENTED = (b'"line":"\\t', b'"line":" ')
_FRAME = b'"line":"\\tat '
_PLACES = ("Execution error (", "Execution error at", "Syntax error ")
"""Beginnings of errors that name only a place: the message is the next line (Clojure)."""
_LOGGER = re.compile(r"(?:[A-Za-z_][\w+`]*\.)*[A-Za-z_][\w+`]*\[\d+\]")
"""Errors and warnings that name only their logger and a number: the message is the next line (.NET)."""
_REASON_WORDS = (
    b"Error", b"Exception", b"Caused by", b"what():", b"Failure", b"Interrupt", b"Exit", b"errors.", b"exceptions.", b".exc.",
)  # fmt: skip
_HEAD_WITHIN = 300  # first bytes of an entry that are searched for this member


def with_reason(entry: Mapping[str, Any], number: int, entries: Encoded) -> tuple[Mapping[str, Any], int]:
    """Return an error with the reason in the stack trace that follows it, and the number of the line to cite.

    And a warning that only names its logger, with its message, or one that gives no reason and is not about another attempt.

    `number`: of the error in `entries`. A bare `Traceback` is replaced by its exception, which is the line to cite.
    Without a new reason, the error is returned unchanged.
    """
    level = entry.get("level")
    if level not in (*SERIOUS, "WARN") or "head" in entry or not has_continuation(number, entries):
        return entry, number
    text = text_of(entry)
    if level == "WARN" and not _LOGGER.fullmatch(text) and (gives_reason(text) or tries_again(text)):
        return entry, number
    reason, at = _reason_after(number, entries, text.rstrip(), fatal=level == "FATAL")
    if not reason or reason.removeprefix("Error: ") in text:
        return entry, number
    if text.startswith(TRACEBACK):
        return {**entry, "message": reason}, at
    if not text.strip() or _LOGGER.fullmatch(text):
        return {**entry, "message": reason}, number
    return {**entry, "message": f"{cut_middle(text, MAX_LINE)}{'' if text.endswith(':') else ':'} {reason}"}, number


def _reason_after(number: int, entries: Encoded, text: str, *, fatal: bool) -> tuple[str, int]:
    """Return the reason in the lines after an error, and the number of its line; '' if they give none.

    `text`: of the error. If it is empty or ends with a colon, these lines explain it: if it is `fatal`, the first of them; if
    not, the exception, or else the last line with a reason.
    """
    announced = not text or text.endswith(":") or text.startswith(_PLACES)
    names_logger = _LOGGER.fullmatch(text) is not None
    found, reported = ("", number), ("", number)
    seen = {_class_of(text)}
    for after in _continuations(number, entries):
        if announced and (fatal or text.startswith(_PLACES)):
            return cut_middle(text_of(entries.entry(after)).strip(), MAX_LINE), after
        if names_logger and not reported[0]:
            reported = str(entries.entry(after).get("line") or "").strip(), after
        if not announced and (_FRAME in (raw := entries.line(after)) or not _may_give_reason(raw)):
            continue
        line = str(entries.entry(after).get("line") or "")  # its message may lack the exception's class
        if line.startswith(CAUSED_BY):
            found = line.removeprefix(CAUSED_BY), after
            seen.add("")  # from here on only a deeper cause counts
        elif is_exception(line):
            outermost = not line[:1].isspace()
            if outermost and _class_of(line) in seen:
                break  # the same exception again is another error
            if outermost:
                seen.add(_class_of(line))
            if "" not in seen and (outermost or not found[0]):
                found = line.strip(), after
        elif announced and gives_reason(line):
            reported = line.strip(" |\t"), after
    reason, at = found if found[0] else reported
    if reason.endswith(":") and at + 1 < entries.count and _HEAD in entries.line(at + 1)[:_HEAD_WITHIN]:
        announced_line = text_of(entries.entry(at + 1)).strip()
        reason = reason if announced_line.startswith("at ") else f"{reason} {announced_line}"
    return cut_middle(reason, MAX_LINE), at


def without_frames(numbers: list[int], entries: Encoded) -> list[int]:
    """Return these lines without the indented lines of stack traces."""
    if not numbers:
        return numbers
    tab, blank = _INDENTED
    lines = zip(numbers, entries.lines_of(numbers), strict=True)
    return [number for number, line in lines if _HEAD not in line or not (tab in line or blank in line)]


def may_have_continuations(entries: Encoded) -> bool:
    """Return whether lines of a block may continue others: such lines have no level."""
    return b"\0" in entries.codes


def shown_of(number: int, entries: Encoded) -> bytes:
    """Return the first line of the stack trace that follows an error, encoded, without its time; b'' if none follows."""
    if not has_continuation(number, entries):
        return b""
    after = number + 1 if _HEAD in entries.line(number + 1)[:_HEAD_WITHIN] else number + 2
    return entries.line(after)[KEY.stop :] if after < entries.count else b"?"


def has_continuation(number: int, entries: Encoded) -> bool:
    """Return whether a stack trace may follow an error: the next line continues one, or is empty."""
    if number + 1 >= entries.count:
        return False
    line = entries.line(number + 1)
    return _HEAD in line[:_HEAD_WITHIN] or line.removesuffix(b",").endswith(_EMPTY)


def _continuations(number: int, entries: Encoded) -> Iterator[int]:
    """Yield the lines that continue an error, at most MAX_FRAMES."""
    head = _HEAD + entries.line(number)[KEY]
    for after in range(number + 1, min(number + 1 + MAX_FRAMES, entries.count)):
        line = entries.line(after)
        if head in line[:_HEAD_WITHIN]:
            yield after
        elif after > number + 1 or not line.removesuffix(b",").endswith(_EMPTY):  # an empty line may precede the exception
            return


def _class_of(text: str) -> str:
    """Return the exception's class, or what else precedes the first colon."""
    return text.partition(":")[0].strip()


def repeats(entry: Mapping[str, Any], before: str) -> bool:
    """Return whether a line that seems to continue a stack trace is the same exception again. `before`: the last error."""
    text = text_of(entry)
    return not text[:1].isspace() and is_exception(text) and _class_of(text) == _class_of(before)


def _may_give_reason(line: bytes) -> bool:
    """Return whether an encoded line may name an exception. Cheaper than decoding it."""
    return any(word in line for word in _REASON_WORDS)
