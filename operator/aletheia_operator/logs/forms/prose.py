"""Sentences and titles that begin with the name of a level in capitals, for example: WARNING SIGNS were seen."""

import re

_NOUNS = (
    "SIGN|LABEL|LIGHT|TIME|BUDGET|RATE|PAGE|CODE|MESSAGE|BAR|DESK|POINT|PANEL|BOX|BOOTH|SYMBOL|BUILD|MODE|TOOL|MENU|ACCIDENT"
    "|CRASH"
    "|BLOW|ELEMENT|AMOUNT|GAS|OUTPUT|MINERAL|METAL|FLAW|DOSE|WOUND|INJUR|SHEET|SESSION|GRAPHIC|MARGIN|BOUND|ESTIMATE|TERM|COUNT"
)
_COMPOUND = re.compile(rf" (?:(?:{_NOUNS})(?:S|ES|IES)?|HANDLING|CORRECTION|ATTRACTION|EVIDENCE|REPORTING) [a-z]{{2}}")
_PLURAL = re.compile(r" (?!HTTPS )(?=[A-Z]{0,18}[AEIOUY])[A-Z]{3,18}[A-RTV-Z]S(?<![I]S) [a-z]{2}")
_RATHER_NOUNS = frozenset({"ALERT", "EMERGENCY", "PANIC", "NOTICE", "AUDIT", "SUCCESS", "FAILURE", "CONFIG", "CRITICAL"})
_PLURAL_AND_VERB = re.compile(
    r" [A-Z]{3,18}[A-RTV-Z]S(?<![I]S) (?:are|were|have|had|must|need|can|could|will|would|should|may|might) "
)
_VERB = re.compile(
    r" (?:YOUR|THE|OUR|MY|HIS|HER|THEIR|ALL|EVERYONE|EVERY|ANY) [A-Z]{2,20} [a-z]"
    r"| (?![A-Z]{0,18}ED )(?=[A-Z]{0,18}[AEIOUY])[A-Z]{5,20} (?:is|are|was|were|been|has|have|had|will|would|can|must|may"
    r"|might|should"
    r"|shall|of|for|fell|rose|came|went) [a-z]"
)

_SMALL_NOUN = re.compile(  # LEVEL pages may be ..., LEVEL flaws in the design were ...
    rf" (?:level|(?:{_NOUNS.lower()}|request|id|route|file)(?:e?s|ies)) (?:(?:in|of|on|for|from|at) (?:[a-z]{{1,20}} ){{1,4}})?"
    r"(?:is|are|was|were|has|have|had|will|would|can|could|must|may|might|should|shall) [a-z]"
)

TALK = re.compile(r"\w\?(?:\s|$)|\bI\b")
"""A question, or someone who speaks of himself: it is talk if a name in `<>` stands before it."""


def is_compound(line: str, at: int, word: str) -> bool:
    """Return whether a noun in capitals and a word of a sentence follow the level `word` that ends at `at`, also behind a time.

    Nouns in the plural make a sentence only with levels that are rather nouns themselves: ALERT RULES loaded.
    """
    return line[at + 1 : at + 4].isupper() and (
        (word in _RATHER_NOUNS and _PLURAL.match(line, at, at + 40) is not None)
        or _COMPOUND.match(line, at, at + 40) is not None
        or _PLURAL_AND_VERB.match(line, at, at + 40) is not None
    )


def begins_sentence(line: str, at: int) -> bool:
    """Return whether the level that ends at `at` begins a sentence: the same, and other nouns before a verb."""
    if line[at + 1 : at + 2].islower():
        return _SMALL_NOUN.match(line, at, at + 120) is not None
    return line[at + 1 : at + 4].isupper() and (
        is_compound(line, at, "") or _PLURAL.match(line, at, at + 40) is not None or _VERB.match(line, at, at + 60) is not None
    )
