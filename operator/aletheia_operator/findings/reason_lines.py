"""Recognises log lines that give a reason, or only report that a program ends. Pure.

All patterns are for RE2: their time is linear in the text.
"""

from aletheia_operator.api.expressions import compiled_once
from aletheia_operator.findings.error_categories import MAX_TEXT, category_of

_EXIT_NOTICES = (
    r"core dumped|crash dump|\bexit(?:ed|ing|s)?\b.{0,30}\b(?:code|status)\b|did not exit normally|check the logs?\b"
    r"|\bshut(?:ting)?(?: it)?[ -]?down|\bshutdown\b"
    r"|(?:^|\])\W*(?:stopping|stopped|closed|closing|goodbye|good bye|bye|done|terminated|abort(?:ed|ing)?)\b"
    r"|initiali[sz]ation failed|startup failed"
    r"|failed to (?:initiali[sz]e|start|boot|build|create|run|launch|load|execute)\b[\w ()]{0,40}[.!]?$"
    r"|\bsee (?:the )?(?:previous|above|earlier|stack ?trace|attached|preceding|logs?\b|output)"
    r"|\b(?:previous|above|earlier) (?:errors?|messages?|output|stack ?trace|exceptions?)\b|\bsee .{0,30}\babove\b"
    r"|(?:exceed|reach|exhaust)ed (?:the )?max(?:imum)? (?:number of )?(?:retries|attempts|tries)|retries (?:are )?exhausted"
    r"|\bgave up\b|too many start retries|\bin an unrecoverable\b|got fatal signal|entered fatal state"
    r"|\b(?:boot|start|launch|job) failed\W*$|^(?:<[\d.]+>)?\W*$|failed to boot"
    r"|terminated by signal|aborting (?:startup|due)|worker exiting|process (?:has )?(?:exited|died|terminated)"
    r"|a complete log of this run|npm (?:ERR!|error) (?:code|errno|path|command|signal|syscall|cwd)|ELIFECYCLE"
    r"|^\W*\d{1,6} (?:of \d{1,6} )?[a-z]{2,20} (?:[a-z]{2,20} ){0,3}(?:failed|could not)\b"
    r"|kernel pid terminated|^\W*<--- "
    r"|application failed to start|^\W*$|:\s*$|^\s*(?:note|hint|see|usage)\b:?"
    r"|^\W*(?:[\w-]{1,20} ){0,3}clean(?:ing[ -]?|-)?up\b"
    r"|^\s*for more (?:information|details)\b"
    r"|\bexecution halted\b|\berrors?\W{1,3}(?:aborting|exiting|giving up|stopping|quitting|terminating)\b"
    r"|\b(?:contains?|has|had|found|with|due to) (?:[\w-]{1,20} ){0,2}errors?\W*$"
    r"|exit status \d+|lost connection to the main process|process completed"
    r"|^\W*SIGABRT\b|contains? errors?, (?:abort|exit|stopp|quitt)ing"
    r"|line \d+: +\d+ (?:killed|aborted|terminated|segmentation fault)\b"
)
"""Lines that only report that a program ends, or announce what follows, without a reason."""
_REASONS = (
    r"\w(?:Error|Exception|Failure)\b|\b(?:error|fatal|panic|failed|fails|failure|cannot|can't|couldn't|unable|aborted|invalid"
    r"|illegal|unknown|unsupported|unexpected|refused|denied|rejected|expired|forbidden|required|missing|mismatch\w*|corrupt\w*"
    r"|incompatible|violat\w+|conflicts?|exceed\w*|unreachable|unavailable|unresolved|undefined|insufficient|exhausted|overflow)\b"
    r"|\bcould not\b|\bnot (?:found|set|defined|supported|valid|available|allowed|permitted|readable|writable|exist|configured"
    r"|specified|accessible|enough|recogni[sz]ed)\b|\bno (?:such|space|valid|suitable|longer|match(?:es)?)\b"
    r"|\bno (?:configuration|config|settings?|credentials?|driver|provider|handler|implementation|bean)\b"
    r"|\bmust (?:be|have|not|match)\b|\bincorrect\b"
    r"|\btoo (?:low|large|small|big|many|few|long|short|old|new|high|deep)\b|\bdoes ?n[o']t\b|\bis not a\b"
    r"|\berr_[a-z]{3}|\bexpected\b.{1,60}\b(?:found|got|but|received)\b"
)
_EXCEPTION = (
    r"^\s*(?:Caused by: |\*\* \((?:EXIT|\w+Error)\) |Unhandled exception\. )?(?:[A-Za-z_$][\w$]*[.:]+){0,20}"
    r"[A-Z][\w$]*(?:Error|Exception|Failure|Interrupt|Exit|NotFound|Timeout|Refused)\b"
    r"|^\s*what\(\):|^\s*Caused by: \S|^\s*\*\* \(\w+Error\) |^(?:Uncaught )?Error(?: \[\w{1,60}\])?: \S"
    r"|^(?:[a-z_]\w*\.){1,6}[A-Z][A-Z_]{3,40}: |^(?:[a-z_]\w*\.){0,6}(?:errors?|exceptions?|exc|errorfactory)\.[A-Z]\w{2,60}: "
)


_CLASSES = ("Error", "Exception", "Failure")
"""Ends of the names of exceptions."""
_ADDRESS = r"(?:unix:|\[?(?:[0-9]{1,3}\.){3}[0-9]|\[?[0-9a-f]{0,4}:[0-9a-f]{0,4}:)"
_CLIENT = (
    rf"\bclient: ?{_ADDRESS}|\b(?:client|remote|peer|source|src)?_?ip(?:_?addr(?:ess)?)?[\"']?[=:] ?[\"']?{_ADDRESS}"
    rf"|{_ADDRESS}[0-9a-f:.]{{0,40}}\]?:\d{{1,5}} -> |\bmissed heartbeats? from client\b"
    rf"|\[client {_ADDRESS}|\bclient \S{{1,60}} (?:disconnected|left|closed|aborted|gone)"
    rf"|\bfrom (?:client |peer |remote |host )?{_ADDRESS}[0-9a-f:.]{{0,40}}\]?:\d"
)
_client = compiled_once(_CLIENT, case_sensitive=False)


def names_client(text: str) -> bool:
    """Return whether a line is about a client of the program that logs it, by the client's address."""
    text = text[:MAX_TEXT]
    return _client().search(text) is not None and _upstream().search(text) is None


_upstream = compiled_once(
    r"\bupstream SSL|\b(?:to|from|in) upstream\b.{1,40}\bclient: |could not be resolved", case_sensitive=False
)
_statement = compiled_once(
    r"\W*(?:\w{1,20}: ?)?(?:INSERT INTO|SELECT|UPDATE|DELETE FROM|MERGE INTO|REPLACE INTO) ", case_sensitive=False
)


def is_statement(text: str) -> bool:
    """Return whether a line is an SQL statement."""
    return _statement().match(text[:MAX_TEXT]) is not None


_report = compiled_once(
    r"(?:^|[\s\])>|:])(?:error|fatal|exception|failure)(?: [\w'/.()-]{1,60}){0,6}: ?\S"
    r"|^(?:\[[^\]]{1,60}\]\W*)?(?:error [a-z]{3,20}ing\b|(?:unknown|unsupported|invalid|unexpected) [a-z]{3})"
    r"|: (?:[\w-]{1,20} )?error [a-z]{3,20}ing\b"
    r"|(?:^|[\s\])>|:])(?:failed|cannot|can't|could not|couldn't|unable)(?: to)? [a-z]{3}|\b[a-z]{3,20} (?:has )?failed\b",
    case_sensitive=False,
)
_denial = compiled_once(
    r"^\W*(?:[✓✔]|(?:ok|pass|warn(?:ing)?)\b)|\bwarn(?:ing)?\b"
    r"|\b(?:no|0|without|zero|allowed|expected|ignor\w{1,4}|optional) (?:\w{1,20} )?(?:errors?|fail\w{0,5})"
    r"|\b(?:errors?|fail\w{0,5})\b[\"']?[:=] ?[\"']?(?:0|null|none|nil|false|no|-|\"|')|\bpassed\b"
    r"|\busing (?:the |a )?(?:default|fallback|builtin)|\b(?:falling|fell|falls) back\b|\bskipp(?:ed|ing)\b",
    case_sensitive=False,
)


def reports_error(text: str) -> bool:
    """Return whether a line without a level says that something failed. Not if it calls that a warning, or counts no error."""
    text = text[:MAX_TEXT]
    return _report().search(text) is not None and _denial().search(text) is None


def denies_error(text: str) -> bool:
    """Return whether a line calls itself a warning, counts no error, or says how the program goes on."""
    return _denial().search(text[:MAX_TEXT]) is not None


_retry = compiled_once(
    r"\b(?:re-?try\w{0,4}|re-?tries|re-?connect\w{0,4}|try(?:ing)? again|attempt \d)\b", case_sensitive=False
)


def tries_again(text: str) -> bool:
    """Return whether a line about a problem says that the program tries again."""
    return _retry().search(text[:MAX_TEXT]) is not None


_handling = compiled_once(
    r"\(?\b(?:skipp(?:ed|ing)|ignor(?:ed|ing))\b\W*$|\busing (?:the |a )?(?:default|fallback|builtin)"
    r"|\b(?:falling|fell|falls) back to\b",
    case_sensitive=False,
)


def is_handled(text: str) -> bool:
    """Return whether a line about a problem says how the program goes on without what failed."""
    return _handling().search(text[:MAX_TEXT]) is not None


_own_warning = compiled_once(r"\bwarning: ", case_sensitive=False)


def calls_itself_warning(text: str) -> bool:
    """Return whether a line without a level says that it is a warning."""
    return _own_warning().search(text[:MAX_TEXT]) is not None


_surrender = compiled_once(
    r"\bgiv(?:e|es|en|ing) up\b|\babort(?:ed|ing)\b|\bpermanently\b"
    r"|\bwill not (?:be )?(?:retr\w{1,4}|restart\w{0,3})\b"
    r"|\bno longer (?:runs?|works?|replicat\w{1,4})\b"
    r"|\b(?:thread|worker|replica(?:tion)?|task|loop) (?:is |was )?(?:stopped|dead)\b",
    case_sensitive=False,
)
_failed_start = compiled_once(r"\bstart-?up failed\b|\bfailed to (?:start|deploy)\b", case_sensitive=False)


def gives_up(text: str) -> bool:
    """Return whether an error says that a part of the program stopped permanently, or did not start and is not tried again."""
    text = text[:MAX_TEXT]
    failed = _failed_start().search(text) is not None and not tries_again(text)
    return failed or _surrender().search(text) is not None


_renewal = compiled_once(
    r"\b(?:re-?(?:new|fresh|issu|quest)\w{0,4}|re-?(?:authenticat\w{1,4}|login)"
    r"|(?:fetch|gett|obtain|acquir)ing (?:a )?new)\b",
    case_sensitive=False,
)


def renews(text: str) -> bool:
    """Return whether a line about an expired token says that it is being renewed."""
    return _renewal().search(text[:MAX_TEXT]) is not None


_exit_notice = compiled_once(_EXIT_NOTICES, case_sensitive=False)
_reasons = compiled_once(_REASONS, case_sensitive=False)
_exception = compiled_once(_EXCEPTION)
_trace_head = compiled_once(r"\s*(?:call|stack|back) ?(?:stack|trace|back)\b[^:]{0,40}:", case_sensitive=False)


def is_exit_notice(text: str) -> bool:
    """Return whether a line only reports that a program ends, or announces what follows."""
    text = text[:MAX_TEXT]
    return _exit_notice().search(text) is not None and not category_of(text)


def gives_reason(text: str) -> bool:
    """Return whether a line gives a reason: it names something that is wrong, and is no notice of an exit."""
    return _reasons().search(text[:MAX_TEXT]) is not None and not is_exit_notice(text)


def reason_span(text: str) -> tuple[int, int] | None:
    """Return start and end of the last words of a reason; None without such words.

    None too if the last is the class of an exception: its message has the reason in other words.
    """
    last = next(reversed([*_reasons().finditer(text)]), None)
    return None if last is None or last[0].endswith(_CLASSES) else last.span()


_empty_word = compiled_once(r"\b(?:error|errors|failed|fails|failure|fatal|aborted)\b", case_sensitive=False)


def names_failure(text: str) -> bool:
    """Return whether a line has a word like `error` or `failed`."""
    return _empty_word().search(text[:MAX_TEXT]) is not None


def is_vague(text: str) -> bool:
    """Return whether a line only says that something failed, without a reason."""
    text = text[:MAX_TEXT]
    if category_of(text) or is_exception(text) or ": " in text.strip():
        return False
    return _reasons().search(_empty_word().sub("", text)) is None


def heads_trace(text: str) -> bool:
    """Return whether a line only announces a stack trace. The line before it has the message."""
    return _trace_head().match(text[:MAX_TEXT]) is not None


def is_exception(text: str) -> bool:
    """Return whether a line begins with an exception: its class, and usually its message."""
    return _exception().search(text[:MAX_TEXT]) is not None


_bare_errno = compiled_once(
    r"(?:\[[^\]]{0,120}\]\s*)*(?:error: )?(?:No such file or directory|Permission denied|Operation not permitted"
    r"|Invalid argument|Connection refused|Address already in use|No space left on device|Input/output error)\W*$",
    case_sensitive=False,
)


def is_bare_errno(text: str) -> bool:
    """Return whether a text only has the words of an errno, without the object that it is about."""
    return _bare_errno().match(text[:MAX_TEXT].strip()) is not None
