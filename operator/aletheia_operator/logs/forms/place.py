"""The place of a word that may be a level: the text around it, and what the rules in `places` ask about it.

In `2026-05-11 10:30:02 [main] worker ERROR: cannot connect`, the word ERROR has the gap ` ] worker` (from the time to the
word, with `]` for each group in brackets), the character `r` before it, one blank before it, and `: cannot connect` after it.
"""

import re
from typing import NamedTuple

from aletheia_operator.logs.forms.clocks import TIME

_AFTER = 80  # characters behind a word that rules may see
_BEFORE_A_DATE_IN_A_SENTENCE = re.compile(
    r"\b(?:at|on|in|since|until|till|from|by|before|after|of|for|the|to|was|is|and) [\d./ -]{0,12}$"
)
_GROUPS = re.compile(r"\[[^\[\]]{0,120}\]|\([^()]{0,120}\)|<[^<>]{0,120}>|\{[^{}]{0,120}\}|\"[^\"]{0,120}\"")
_CHAT = re.compile(r"<[a-z][\w-]{0,30}>\s?$")
_WORD_CHARACTER = re.compile(r"[^\Wℹ]")
_PLAIN_WORD_LAST = re.compile(r"(?:^|\s)(?:[A-Z]?[a-z]{1,30}|[A-Z]{1,30})$")
_PLACE_LAST = re.compile(r"(?:[\])>}]:?(?: -)?|:\d{1,9}:?|=\S{1,60}|[0-9a-f]{8,40}|(?:^|\s)\d{1,12}(?:/\d{1,12})?)$")
_PROCESS = re.compile(r"[\w.-]{1,60}\[\w{1,20}\]:? |'[\w.:/-]{1,60}'")
_ATTACHED = re.compile(
    r"-\d{1,2}\t|> |>$|::|\([\w.:@#-]{1,60}\):|\( {0,8}\d{1,9}\):|\*{1,2}:? (?!(?:is|was|are) )|/[\w.-]{1,60}: |;(?! )"
)


class Place(NamedTuple):
    """A word that may be a level, and the text around it."""

    word: str
    """In small letters."""
    gap: str
    """Text between the time and the word, with each group in brackets replaced by `]`, without the blanks at its end."""
    before: str
    """The character before the word and its blanks; '' at the beginning of the line."""
    blanks: int
    """Number of blanks before the word."""
    after: str
    """The text behind the word and its blanks, as far as rules may see it."""
    blanks_after: int
    capitals: bool
    """Whether the word is in capitals."""
    small: bool
    """Whether the word is in small letters."""
    timed: bool
    """Whether a time stands before the word."""

    @property
    def bare(self) -> bool:
        """Whether no word stands between the time and this word."""
        return not _WORD_CHARACTER.search(self.gap)

    @property
    def follows_word(self) -> bool:
        """Whether a plain word and one blank stand before it: then it may belong to a sentence, or the word is a name."""
        return self.blanks == 1 and _PLAIN_WORD_LAST.search(self.gap) is not None

    @property
    def in_chat(self) -> bool:
        """Whether the name of someone who talks stands before it: `<bob> error …`."""
        return _CHAT.search(self.gap) is not None

    @property
    def follows_place(self) -> bool:
        """Whether brackets, the number of a line, a value, an id or a number stand directly before it."""
        return _PLACE_LAST.search(self.gap) is not None

    @property
    def precedes_process(self) -> bool:
        """Whether a process, `worker[7]: `, or a name in quotes follows."""
        return _PROCESS.match(self.after) is not None

    @property
    def precedes_delimiter(self) -> bool:
        """Whether a delimiter that follows directly shows that it is a level: `ERROR/worker: `, `error(7):`, `*ERROR* `."""
        if self.before == "*" or self.after[0] == "*":
            return self.before == self.after[0] and _ATTACHED.match(self.after) is not None
        return self.bare and _ATTACHED.match(self.after) is not None


def place_of(line: str, start: int, end: int) -> Place:
    """Return the place of the word between `start` and `end`."""
    head, tail = line[:start], line[end : end + _AFTER]
    at = _end_of_last_time(head)
    left, right = head.rstrip(" "), tail.lstrip(" ")
    gap = left[at:]
    if not gap.isspace() and not _CHAT.search(gap):
        gap = _GROUPS.sub("]", _GROUPS.sub("]", gap))  # twice: a group may hold another
    word = line[start:end]
    return Place(
        word=word.lower(),
        gap=gap.rstrip(),
        before=left[-1:],
        blanks=len(head) - len(left),
        after=right,
        blanks_after=len(tail) - len(right),
        capitals=word.isupper(),
        small=word.islower(),
        timed=at > 0,
    )


def _end_of_last_time(head: str) -> int:
    """Return where the last time in `head` ends; 0 without one, or if the first one belongs to a sentence."""
    at = 0
    for time in TIME.finditer(head):
        if not at and _BEFORE_A_DATE_IN_A_SENTENCE.search(head, 0, time.start()):
            break
        at = time.end()
    return at
