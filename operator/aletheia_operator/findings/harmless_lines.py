"""Recognises log lines that only advise, or only close a script: neither says what is wrong. Pure.

All patterns are for RE2: their time is linear in the text.
"""

from aletheia_operator.api.expressions import compiled_once
from aletheia_operator.findings.error_categories import MAX_TEXT, category_of

MAX_CLOSING = 160  # characters of a line that closes a script

_ADVICE = (
    r"\(\w{3,30}\.[WI]\d{3}\)"  # ids of Django's checks
    r"|\b(?:Deprecation|PendingDeprecation|Future|Experimental|InsecureRequest|Syntax|Resource|PythonDeprecation)Warning\b"
    r"|\bdeprecat(?:ed|ion|ions|es)\b|\bwill be (?:removed|dropped|unsupported) (?:in|from|with|soon)\b"
    r"|\bwill no longer be supported\b|\b(?:end[- ]of[- ]life|end of (?:its )?support)\b"
    r"|\bnot (?:recommended|advised|intended|suitable|meant|safe) (?:for|in|to)\b|\bdevelopment server\b"
    r"|\b(?:do not|don't|never|should not|shouldn't) (?:be )?(?:use|used|run|enabled?) (?:it |this )?(?:in|for|as) (?:a )?"
    r"(?:production|root)\b|\brunning (?:\w+ ){0,4}as (?:the )?(?:root|super)[ -]?(?:user)?\b"
    r"|\bverification is strongly advised\b|\bunverified HTTPS\b"
    r"|\bsecurity (?:hardening|advice|best practices?|recommendations?)\b|\b(?:for|as) (?:better|improved|more) security\b"
    r"|\b(?:is|are) (?:strongly |highly )?(?:recommended|advised|encouraged)\b|\bwe (?:strongly |highly )?recommend\b"
    r"|\bconsider (?:upgrading|migrating|switching|moving|hardening)\b"
    r"|\b(?:newer|new|later|latest) (?:major |minor |patch )?version (?:\S+ ){0,4}(?:is )?available\b"
    r"|\bseverity vulnerabilit(?:y|ies)\b"
)
_END = (
    r"exit(?:ing|s|ed)?|abort(?:ing|ed|s)?|stopp(?:ing|ed)|quit(?:ting)?|bail(?:ing)?|giv(?:e|ing) up|leaving"
    r"|terminat(?:ing|ed)|cancel(?:l?ing|l?ed)|roll(?:ing|ed) back|skipp(?:ing|ed)"
)
_CLOSING = (
    rf"^\W*(?:[\w./-]{{1,60}}: )?(?:error: )?(?:{_END}|exit)\b"
    r"(?: (?:now|script|with|code|status|the|backup|job|\d{1,3})){0,5}\W*$"
    r"|\b(?:fail(?:ed|ure|s)|errors?|unsuccessful|incomplete|did not (?:succeed|complete|finish)|not successful)\W{1,4}"
    rf"(?:so |and |now |therefore )?(?:{_END}|nothing|none\b|not \w+(?:ed|ing)\b|will not|leaving|see )"
    r"|^\W*(?:[\w./-]{1,60}: )?(?:[\w'-]{1,24} ){1,4}(?:has |have |was |were )?"
    r"(?:failed|aborted|exited|unsuccessful(?:ly)?|not successful"
    r"|(?:did|could) not (?:succeed|complete|finish|be completed))\W*(?:\((?:exit|code|status|rc)\W?[\w ]{0,12}\)\W*)?$"
    r"|\bgiv(?:e|ing) up after \d{1,6} ?\w{1,12}\W*$|\b(?:ended|finished|exited|terminated) unsuccessfully\b"
    r"|^g?make(?:\[\d{1,3}\])?: \*\*\* "
    r"|^\W*(?:script|command|step|task|job|hook) [\w./'-]{1,60} (?:failed|returned)\b[^:]{0,40}$"
)
_advice = compiled_once(_ADVICE, case_sensitive=False)
_closing = compiled_once(_CLOSING, case_sensitive=False)


def is_advice(text: str) -> bool:
    """Return whether a line advises on settings, versions or security, as programs do that work.

    Only for lines that are no errors: as an error, the same words may say why a program stops.
    """
    return _advice().search(text[:MAX_TEXT]) is not None


def closes_script(text: str) -> bool:
    """Return whether a line only says that a script or a step failed and ends: the command that failed said why before it."""
    text = text.strip()
    return len(text) <= MAX_CLOSING and _closing().search(text) is not None and not category_of(text)
