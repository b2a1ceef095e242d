"""Adds the reason in its stack trace to an error: the exception, or the last cause that it names. Bounded, pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from aletheia_operator.findings.log_facts import MAX_WORDS, TRACEBACK
from aletheia_operator.findings.telling import is_exception, tells_why
from aletheia_operator.findings.words import CAUSED_BY, words_of
from aletheia_operator.text.batches import KEY, SERIOUS, Encoded

MAX_FRAMES = 60  # lines of a stack trace in which the exception is looked for
_HEAD = b'"head":"'
_EMPTY = b'"line":""}'
_INDENTED = (b'"line":"\\t', b'"line":" ')
_FRAME = b'"line":"\\tat '
_HEAD_WITHIN = 300  # first bytes of an entry that are searched for this member


def with_reason(entry: Mapping[str, Any], number: int, entries: Encoded) -> tuple[Mapping[str, Any], int]:
    """Return an error with the reason in the stack trace that follows it, and the number of the line to cite.

    `number`: of the error in `entries`. A bare `Traceback` is replaced by its exception, which is the line to cite.
    Without a new reason, the error is returned unchanged.
    """
    if entry.get("level") not in SERIOUS or "head" in entry or not has_continuation(number, entries):
        return entry, number
    text = words_of(entry)
    reason, at = _reason_after(number, entries, text.rstrip(), fatal=entry.get("level") == "FATAL")
    if not reason or reason in text:
        return entry, number
    if text.startswith(TRACEBACK):
        return {**entry, "message": reason}, at
    return {**entry, "message": f"{text[:MAX_WORDS]}{'' if text.endswith(':') else ':'} {reason}"}, number


def _reason_after(number: int, entries: Encoded, text: str, *, fatal: bool) -> tuple[str, int]:
    """Return the reason in the lines after an error, and the number of its line; '' if they give none.

    `text`: of the error. If it ends with a colon, these lines explain it: if it is `fatal`, the first of them; if not, the
    exception, or else the last line with a reason.
    """
    announced = text.endswith(":")
    found, reported = ("", number), ("", number)
    seen = {_class_of(text)}
    for after in _continuations(number, entries):
        if announced and fatal:
            return words_of(entries.entry(after)).strip()[:MAX_WORDS], after
        if not announced and (_FRAME in (raw := entries.lines[after]) or not _may_tell(raw)):
            continue
        line = words_of(entries.entry(after))
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
        elif announced and tells_why(line):
            reported = line.strip(" |\t"), after
    reason, at = found if found[0] else reported
    return reason[:MAX_WORDS], at


def is_frame(line: bytes) -> bool:
    """Return whether an encoded line is an indented line of a stack trace."""
    return _HEAD in line[:_HEAD_WITHIN] and (_INDENTED[0] in line or _INDENTED[1] in line)


def shown_of(number: int, entries: Encoded) -> bytes:
    """Return the encoded lines by which an error is recognised: itself, and the first line of the stack trace that follows."""
    line = entries.lines[number]
    if not has_continuation(number, entries):
        return line
    after = number + 1 if _HEAD in entries.lines[number + 1][:_HEAD_WITHIN] else number + 2
    return line + entries.lines[after][KEY.stop :] if after < entries.count else line + b"?"


def has_continuation(number: int, entries: Encoded) -> bool:
    """Return whether a stack trace may follow an error: the next line continues one, or is empty."""
    if number + 1 >= entries.count:
        return False
    line = entries.lines[number + 1]
    return _HEAD in line[:_HEAD_WITHIN] or line.removesuffix(b",").endswith(_EMPTY)


def _continuations(number: int, entries: Encoded) -> Iterator[int]:
    """Yield the lines that continue an error, at most MAX_FRAMES."""
    head = _HEAD + entries.lines[number][KEY]
    for after in range(number + 1, min(number + 1 + MAX_FRAMES, entries.count)):
        line = entries.lines[after]
        if head in line[:_HEAD_WITHIN]:
            yield after
        elif after > number + 1 or not line.removesuffix(b",").endswith(_EMPTY):  # an empty line may precede the exception
            return


def _class_of(text: str) -> str:
    """Return the exception's class, or what else precedes the first colon."""
    return text.partition(":")[0].strip()


def repeats(entry: Mapping[str, Any], before: str) -> bool:
    """Return whether a line that seems to continue a stack trace is the same exception again. `before`: the last error."""
    text = words_of(entry)
    return not text[:1].isspace() and is_exception(text) and _class_of(text) == _class_of(before)


def _may_tell(line: bytes) -> bool:
    """Return whether an encoded line may name an exception. Cheaper than decoding it."""
    return any(word in line for word in (b"Error", b"Exception", b"Caused by", b"what():", b"Failure", b"Interrupt", b"Exit"))
