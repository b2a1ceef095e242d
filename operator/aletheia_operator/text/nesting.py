"""Detects JSON that is nested too deep for recursive functions: encoders, `str`, comparisons."""

from typing import Any

MAX_NESTING = 200
"""Levels of lists and objects in one value. orjson writes 254, Python's functions about 900; sources send about ten."""
_OTHERS = bytes(set(range(256)) - set(b"[]{}"))
_QUICK_LEVELS = 16


def is_too_deep(text: str | bytes, value: Any) -> bool:
    """Return whether a value has more than MAX_NESTING levels. `text`: the JSON that it was parsed from."""
    content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if content.count(b"[") + content.count(b"{") <= MAX_NESTING:
        return False
    brackets = content.translate(None, _OTHERS)
    for _ in range(_QUICK_LEVELS):  # one level less each time, unless brackets in strings disturb it
        before = len(brackets)
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if len(brackets) <= 2 * (MAX_NESTING - _QUICK_LEVELS):
            return False
        if len(brackets) > 0.9 * before:
            break
    level = [value]
    for _ in range(MAX_NESTING):
        level = [inner for value in level for inner in (value.values() if isinstance(value, dict) else value)]
        level = [value for value in level if isinstance(value, dict | list)]
        if not level:
            return False
    return True
