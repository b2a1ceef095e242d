"""Judges by the text around a name and its value whether the name is that of a secret."""

from aletheia_operator.redact.patterns import compiled


def means_other(name: bytes, line: bytes, start: int, end: int) -> bool:
    """Return whether a name has another meaning here: a shell's directory, a test that passed, or the name of a field."""
    if name.lower() in (b"pwd", b"oldpwd"):
        return compiled(r"""^["']?(?:/[\w.@+-]*)+(?:["',;\s]|$)""").search(line[end : end + 200]) is not None
    if name == b"PASS":
        passed = compiled(r"(?i)^\s*(?:test|[\w.-]+/)").search(line[end : end + 80]) is not None
        return passed or line[max(start - 4, 0) : start] == b"--- "
    if name[-5:].lower() in (b"field", b"param", b"input"):
        return compiled(r"""^\\*["']?[a-zA-Z_.-]{1,24}(?:["',;}\s\\]|$)""").search(line[end : end + 60]) is not None
    return False


def goes_on(line: bytes, begin: int, end: int) -> bool:
    """Return whether a quoted word is part of a sentence: `credentials: "certificate" object cannot specify both`."""
    if compiled(r"^[a-z_]+$").search(line[begin:end]) is None:
        return False
    return compiled(r"""\\*["'`] (?:[a-z]+(?:n't)? ){2}""").match(line, end) is not None


def is_closing_quote(line: bytes, name_at: int, after: int) -> bool:
    """Return whether a quote after a name closes a text in which the name stands: `msg="Password:" attempt=2`."""
    quote = line[after - 1 : after]
    return line[after : after + 1] in b" ,}])" and line.count(quote, 0, name_at) % 2 == 1


def is_tuple(line: bytes, name_at: int, value_end: int) -> bool:
    """Return whether a quoted name and a quoted value stand alone in brackets: `('password', 'hunter2')`."""
    before = compiled(r"""[({\[]\s*\\*[b]?["'`]$""").search(line[max(name_at - 8, 0) : name_at])
    if before is None or compiled(r"""\\*["'`]\s*[)}\]]""").match(line, value_end) is None:
        return False
    return before.group()[:1] != b"[" or compiled(r"""["'`][a-z]+(?:_[a-z]+)*$""").search(line[:value_end]) is None
