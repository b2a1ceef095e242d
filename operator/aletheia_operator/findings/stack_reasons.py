"""Adds to an error what the lines of its stack trace say: the exception, and the cause that it names last. Bounded, pure."""

from collections.abc import Mapping
from typing import Any

from aletheia_operator.findings.log_facts import MAX_WORDS, TRACEBACK
from aletheia_operator.findings.telling import is_exception
from aletheia_operator.findings.words import CAUSED_BY, words_of
from aletheia_operator.text.batches import SERIOUS, Encoded

MAX_FRAMES = 60  # lines of a stack trace in which the exception is looked for
_HEAD = b'"head":'
_EMPTY = b'"line":""}'
_HEAD_WITHIN = 300  # bytes of an entry in which this member stands


def with_reason(entry: Mapping[str, Any], number: int, entries: Encoded) -> tuple[Mapping[str, Any], int]:
    """Return an error with the exception of the stack trace that follows it, and the number of the line that tells it.

    Of a bare `Traceback` the exception alone is returned. `number`: of the error in `entries`.
    """
    if entry.get("level") not in SERIOUS or "head" in entry:
        return entry, number
    text = words_of(entry)
    reason, at = _reason_after(number, entries, announced=entry.get("level") == "FATAL" and text.endswith(":"))
    if not reason or reason in text:
        return entry, number
    if text.startswith(TRACEBACK):
        return {**entry, "message": reason}, at
    return {**entry, "message": f"{text[:MAX_WORDS]}{'' if text.endswith(':') else ':'} {reason}"}, number


def _reason_after(number: int, entries: Encoded, *, announced: bool) -> tuple[str, int]:
    """Return the exception that the lines after an error tell, and its line; '' if they tell none.

    `announced`: the error ends with a colon, so its next line tells what happened.
    """
    found, at = "", number
    caused = False
    said = {_class_of(words_of(entries.entry(number)))}
    for after in range(number + 1, min(number + 1 + MAX_FRAMES, entries.count)):
        line = entries.lines[after]
        if _HEAD not in line[:_HEAD_WITHIN]:
            if after == number + 1 and line.removesuffix(b",").endswith(_EMPTY):
                continue  # an empty line between a message and its exception
            break
        if announced and after == number + 1:
            found, at = words_of(entries.entry(after)).strip(), after
            continue
        if not _may_tell(line):
            continue
        text = words_of(entries.entry(after))
        if text.startswith(CAUSED_BY):
            found, at, caused = text.removeprefix(CAUSED_BY), after, True
        elif is_exception(text) and not text[:1].isspace():
            if (name := _class_of(text)) in said:
                break  # the same again: an error of its own
            said.add(name)
            if not caused and not announced:
                found, at = text.strip(), after
        elif not found and not announced and is_exception(text):
            found, at = text.strip(), after
    return found[:MAX_WORDS], at


def _class_of(text: str) -> str:
    """Return the exception's class, or what else precedes the first colon."""
    return text.partition(":")[0].strip()


def repeats(entry: Mapping[str, Any], before: str) -> bool:
    """Return whether a line that seems to continue a stack trace is the same exception again. `before`: the last error."""
    text = words_of(entry)
    return not text[:1].isspace() and is_exception(text) and _class_of(text) == _class_of(before)


def _may_tell(line: bytes) -> bool:
    """Return whether an encoded line may name an exception: cheaper than to decode it."""
    return any(word in line for word in (b"Error", b"Exception", b"Caused by", b"what():", b"Failure", b"Interrupt", b"Exit"))
