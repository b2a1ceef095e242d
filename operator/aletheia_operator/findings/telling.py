"""Recognises log lines that give a reason, or only report that a program ends. Shortens lines to the relevant part. Pure.

All patterns are for RE2: their time is linear in the text.
"""

from functools import lru_cache
from typing import Any

from aletheia_operator.api.expressions import compiled
from aletheia_operator.findings.words import MAX_TEXT, category_of, category_span
from aletheia_operator.text.display import one_line

_FAREWELLS = (
    r"core dumped|crash dump|\bexit(?:ed|ing|s)?\b.{0,30}\b(?:code|status)\b|did not exit normally|check the logs?\b"
    r"|\bshut(?:ting)?[ -]?down|\bshutdown\b"
    r"|(?:^|\])\W*(?:stopping|stopped|closed|closing|goodbye|good bye|bye|done|terminated|abort(?:ed|ing)?)\b"
    r"|initiali[sz]ation failed|failed to (?:initiali[sz]e|start)\b[\w ]{0,40}$|startup failed"
    r"|failed to boot|terminated by signal|aborting (?:startup|due)|worker exiting|process (?:has )?(?:exited|died|terminated)"
    r"|a complete log of this run|npm (?:ERR!|error) (?:code|errno|path|command|signal|syscall|cwd)|ELIFECYCLE"
    r"|kernel pid terminated|application failed to start|^\W*$|:\s*$|^\s*(?:note|hint|see|usage)\b:?|cleaning up|cleanup"
    r"|exit status \d+|lost connection to the main process|process completed|for more (?:information|details)"
)
"""Lines that only report that a program ends, or announce what follows, without a reason."""
_REASONS = (
    r"\w(?:Error|Exception|Failure)\b|\b(?:error|fatal|panic|failed|fails|failure|cannot|can't|couldn't|unable|aborted|invalid"
    r"|illegal|unknown|unsupported|unexpected|refused|denied|rejected|expired|forbidden|required|missing|mismatch\w*|corrupt\w*"
    r"|incompatible|violat\w+|conflicts?|exceed\w*|unreachable|unavailable|unresolved|undefined|insufficient|exhausted|overflow)\b"
    r"|\bcould not\b|\bnot (?:found|set|defined|supported|valid|available|allowed|permitted|readable|writable|exist|configured"
    r"|specified|accessible|enough|recogni[sz]ed)\b|\bno (?:such|space|valid|suitable|longer)\b|\bmust (?:be|have|not|match)\b"
    r"|\btoo (?:low|large|small|big|many|few|long|short|old|new|high|deep)\b|\bdoes ?n[o']t\b|\bis not a\b"
)
_EXCEPTION = (
    r"^\s*(?:Caused by: |\*\* \((?:EXIT|\w+Error)\) |Unhandled exception\. )?(?:[A-Za-z_$][\w$]*[.:]+){0,20}"
    r"[A-Z][\w$]*(?:Error|Exception|Failure|Interrupt|Exit|NotFound|Timeout|Refused)\b"
    r"|^\s*what\(\):|^\s*Caused by: \S|^\s*\*\* \(\w+Error\) "
)
_BOILERPLATE = (
    r"^(?:\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d\S*\s+|\[[^\]]{1,60}\]\s*(?:\d+#\d+: )?"
    r"|[\w./@-]{1,120}\.(?:go|py|rs|java|rb|js|ts|cc|cpp|c):\d+[:\]]?\s+"
    r"|Exception in thread \"[^\"]{1,80}\" |Unhandled Error: |Unhandled exception\. |Uncaught (?:exception: )?|\w+: error: "
    r"|(?:ERROR|Error|error|FATAL|fatal)[:!] |[A-Za-z_][\w.]{0,40}: ERROR: )"
)


@lru_cache(maxsize=1)
def _patterns() -> tuple[Any, Any]:
    return compiled(_FAREWELLS, case_sensitive=False), compiled(_REASONS, case_sensitive=False)


@lru_cache(maxsize=1)
def _exception() -> Any:
    return compiled(_EXCEPTION)


@lru_cache(maxsize=1)
def _boilerplate() -> Any:
    return compiled(_BOILERPLATE)


@lru_cache(maxsize=1)
def _long_path() -> Any:
    return compiled(r"(?:/[\w.~:-]+){4,}(/[\w.~-]{1,40})", case_sensitive=False)


def _without_long_paths(text: str) -> str:
    parts, last = [], 0
    for match in _long_path().finditer(text):
        parts += [text[last : match.start()], "…"]
        last = match.start(1)
    return "".join([*parts, text[last:]])


def is_farewell(text: str) -> bool:
    """Return whether a line only reports that a program ends, or announces what follows."""
    farewell, _ = _patterns()
    text = text[:MAX_TEXT]
    return farewell.search(text) is not None and not category_of(text)


def tells_why(text: str) -> bool:
    """Return whether a line gives a reason: it names something that is wrong, and is not a farewell."""
    _, reasons = _patterns()
    return reasons.search(text[:MAX_TEXT]) is not None and not is_farewell(text)


def is_exception(text: str) -> bool:
    """Return whether a line begins with an exception: its class, and usually its message."""
    return _exception().search(text[:MAX_TEXT]) is not None


def excerpt(text: str, most: int) -> str:
    """Shorten a line to at most `most` characters: drop prefixes of the message, and keep the words that matter.

    The cause is last in a chain of errors (`a: b: c`). So a long chain is shown from the link with the words of its category,
    or else from a link near enough to the end.
    """
    text = one_line(text, 2 * MAX_TEXT)
    while len(text) > most and (match := _boilerplate().match(text)) is not None and match.end() < len(text) - 20:
        text = text[match.end() :]
    if len(text) > most:
        text = _without_long_paths(text)
    if len(text) <= most:
        return text
    start, _ = category_span(text) or (len(text), 0)
    if start <= most // 2:
        return one_line(text, most)
    latest = min(start, len(text) - 4 * most // 5)
    links = [at + 2 for at in range(latest) if text.startswith(": ", at) and at + 2 <= latest]
    if links:
        return one_line(f"…{text[links[-1] :]}", most)
    head = most // 4
    return f"{text[:head].rstrip()}… {text[len(text) - (most - head - 2) :].lstrip()}"
