"""Finds the text of a log entry: its message, and the reason among its fields. Bounded, pure."""

from collections import deque
from collections.abc import Mapping
from typing import Any

from aletheia_operator.findings.error_categories import CAUSED_BY, MAX_TEXT, category_of, category_span
from aletheia_operator.text.batches import SERIOUS

MAX_FIRST = 8  # lines of another text of several lines in which the cause is looked for
MAX_ANSWERS = 16  # objects in the fields of an error in which its reason is looked for
MAX_TRACE = 8_000  # characters at the end of a stack trace in which the exception is looked for

_HEADS = ("panic: ", "fatal error: ", "fatal runtime error: ")
_ERROR_FIELDS = (
    "errors", "error", "err", "exception", "cause", "reason", "detail", "error.message", "err.message", "exception.message",
    "details", "error.stack_trace", "@x", "exc_info", "stack_trace", "stacktrace", "exception.stacktrace",
)  # fmt: skip


_ANSWER_FIELDS = ("body", "response", "stderr", "output")
"""Fields in which errors have what a called program answered."""


_MESSAGES = ("message", "msg", "error_message", "errorMessage", "error", "detail", "reason")
"""Fields of an error that is an object, in which its message is."""


def text_of(entry: Mapping[str, Any]) -> str:
    """Return the text of a log line: its message, with the head of a crash if it has one, and the error in its fields.

    Structured lines often have the cause in another field: `charge failed` and `x509: certificate has expired`. The middle of
    a long text is left out.
    """
    line, message = str(entry.get("line") or ""), str(entry.get("message") or "")
    if not message:
        return "" if "message" in entry else cut_middle(line, MAX_TEXT)
    before = line[: -len(message)] if line.endswith(message) else ""
    text = message
    if before.lower().endswith(_HEADS):
        head = next(known for known in _HEADS if before.lower().endswith(known))
        text = before[len(before) - len(head) :] + message
    error = _error_in(entry)
    return cut_middle(f"{text}: {error}" if error and not _says(text, error) else text, MAX_TEXT)


def cut_middle(text: str, most: int) -> str:
    """Return a text of at most `most` characters: chains of errors begin with what failed, and end with the cause.

    If only the middle has words of a category, its end is kept instead: the text may end with links and ids.
    """
    if len(text) <= most:
        return text
    head = most // 2
    tail = most - head - 3
    if not category_of(text[:head]) and not category_of(text[-tail:]) and (span := category_span(text)) is not None:
        end = min(len(text), span[1] + tail // 4)
        return f"{text[:head]} … {text[max(head, end - tail) : end]}"
    return f"{text[:head]} … {text[len(text) - tail :]}"


def _error_in(entry: Mapping[str, Any]) -> str:
    """Return the error in the fields of a structured line; '' if they have none."""
    fields = entry.get("fields")
    if not fields or not isinstance(fields, dict):
        return ""
    for name in _ERROR_FIELDS + (_ANSWER_FIELDS if entry.get("level") in SERIOUS else ()):
        error = fields.get(name)
        if error is None:
            continue
        if isinstance(error, list) and error:
            error = error[0]  # the first of several errors, as GraphQL answers them
        if isinstance(error, dict):
            error = next((error[name] for name in _MESSAGES if error.get(name)), None)
        if isinstance(error, str) and (error := exception_of(error)):
            return error
    return _answer_in(fields) if entry.get("level") in SERIOUS else ""


def _answer_in(fields: Mapping[str, Any]) -> str:
    """Return the reason in an object among the fields of an error, for example an answer; '' if there is none."""
    answers = deque(value for value in fields.values() if isinstance(value, dict))
    for _ in range(MAX_ANSWERS):
        if not answers:
            break
        answer = answers.popleft()
        texts = [answer.get(name) for name in (*_MESSAGES, *_ANSWER_FIELDS)]
        if reason := next((text for text in texts if isinstance(text, str) and any(map(str.isalpha, text))), ""):
            return exception_of(reason)
        answers.extend(value for value in answer.values() if isinstance(value, dict))
    return ""


def exception_of(trace: str) -> str:
    """Return the line of a stack trace or of another text that names the cause. A text of one line is returned unchanged."""
    lines = trace[-MAX_TRACE:].strip().splitlines()
    if "\n" not in trace.strip() or not lines:
        return trace
    if trace.lstrip().startswith("Traceback"):
        frames = [number for number, line in enumerate(lines[:-1]) if line.startswith(" ")]
        return lines[frames[-1] + 1 if frames else -1]
    causes = [line for line in lines if line.startswith(CAUSED_BY)]
    if causes:
        return causes[-1].removeprefix(CAUSED_BY)
    lines = trace.lstrip()[:MAX_TRACE].splitlines()
    first = lines[0].rstrip()
    more = (line.strip() for line in lines[1:MAX_FIRST] if not line.lstrip().startswith("at "))
    reason = "" if category_of(first) else next((line for line in more if category_of(line)), "")
    return f"{first}: {reason}" if reason else first


def _says(text: str, error: str) -> bool:
    """Return whether a message has the words of an error already, maybe without the class of the exception."""
    exception, _, words = error.partition(": ")
    return error in text or bool(words and exception.endswith(("Error", "Exception")) and text.endswith(words))
