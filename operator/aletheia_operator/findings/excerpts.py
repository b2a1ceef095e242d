"""Shortens log lines to the part that matters. Pure.

All patterns are for RE2: their time is linear in the text.
"""

from aletheia_operator.api.expressions import compiled_once
from aletheia_operator.findings.error_categories import MAX_TEXT, category_span
from aletheia_operator.findings.reason_lines import reason_span
from aletheia_operator.text.display import one_line

_BOILERPLATE = (
    r"^(?:\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d\S*\s+|\[[^\]]{1,60}\]\s*(?:\d+#\d+: )?"
    r"|[\w./@-]{1,120}\.(?:go|py|rs|java|rb|js|ts|cc|cpp|c):\d+[:\]]?\s+"
    r"|Exception in thread \"[^\"]{1,80}\" |Unhandled Error: |Unhandled exception\. |Uncaught (?:exception: )?|\w+: error: "
    r"|(?:ERROR|Error|error|FATAL|fatal)[:!] |[A-Za-z_][\w.]{0,40}: ERROR: )"
)
_boilerplate = compiled_once(_BOILERPLATE)
_tail = compiled_once(
    r" \(Service: .*"  # what AWS' libraries add
    r"|(?:[.,;]? \(?(?:(?:trace|correlation|request|activity|operation)[ _-]?id|timestamp): ?\S{1,64}\)?"
    r"|[.,;:]? \(?(?:see|visit|read|learn more|for (?:more )?(?:details|information))\b[^.]{0,60}https?://\S{1,200}"
    r")+\W{0,3}$",
    case_sensitive=False,
)


def _without_tail(text: str) -> str:
    """Return a text without the ids and links that libraries add to the messages of a service."""
    match = _tail().search(text)
    return text[: match.start()] if match is not None else text


_long_path = compiled_once(r"(?:/[\w.~:-]+){4,}(/[\w.~-]{1,40})", case_sensitive=False)
_package = compiled_once(r"\b(?:[a-z][a-z0-9_]{0,40}\.){2,8}[A-Z]")


def _without_packages(text: str) -> str:
    """Return a text in which classes are named without their packages."""
    parts, last = [], 0
    for match in _package().finditer(text):
        parts.append(text[last : match.start()])
        last = match.end() - 1
    return "".join([*parts, text[last:]])


def _without_long_paths(text: str) -> str:
    parts, last = [], 0
    for match in _long_path().finditer(text):
        parts += [text[last : match.start()], "…"]
        last = match.start(1)
    return "".join([*parts, text[last:]])


def excerpt(text: str, most: int) -> str:
    """Shorten a line to at most `most` characters: drop prefixes of the message, and keep the words that matter.

    The cause is last in a chain of errors (`a: b: c`). So a long chain is shown from the first link that leaves room for the
    words of its category; without a category, for the last words of a reason; without these, for the end.
    """
    text = one_line(text, 2 * MAX_TEXT)
    while len(text) > most and (match := _boilerplate().match(text)) is not None and match.end() < len(text) - 20:
        text = text[match.end() :]
    if len(text) > most:
        text = _without_long_paths(_without_packages(_without_tail(text)))
    if len(text) <= most:
        return text
    start, end = category_span(text) or reason_span(text) or (len(text), len(text))
    end = min(len(text), end + most // 4)
    if end <= most:
        return one_line(text, most)
    links = [at + 2 for at in range(start) if text.startswith(": ", at) and end - at - 2 < most]
    if links and links[0] == start < len(text):  # the link before it is too long: its end says what the words are about
        links = [(text.find(" ", max(0, end - most), start - 1) + 1) or start]
    if links:
        return one_line(f"…{text[links[0] :]}", most)
    head = most // 4
    return f"{text[:head].rstrip()}… {text[end - (most - head - 2) : end].lstrip()}"
