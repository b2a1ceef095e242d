"""Compiles tenants' regular expressions. RE2 takes time linear in the text, for any expression.

Compiling also takes time: 21 expressions of 256 characters with Unicode classes took 0.6 s. So expressions are ASCII. An
expression that needs more memory than its limit is refused: with 1 MiB, 4 KiB of text can take a second.
"""

import re
from functools import lru_cache
from typing import Any

NAMES_MEMORY = 1 << 20
TEXTS_MEMORY = 1 << 18
"""Bytes for an expression that is searched in many long texts: a kilobyte takes 60 ms at most."""
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]|(?<!\\)(?:\\\\)*\\(?:[pP]|x\{)")


@lru_cache(maxsize=256)
def compile_expression(expression: str, memory: int = NAMES_MEMORY) -> Any:
    """Compile an expression, for `search`. Raises ValueError if it is not valid, not ASCII, or needs more memory."""
    import re2  # imported late: most Investigations have no expression

    if _BEYOND_ASCII.search(expression):
        raise ValueError("characters and classes beyond ASCII are not taken")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = memory
    try:
        return re2.compile(expression, options)
    except re2.error as e:
        raise ValueError(str(e)) from e


def is_expression(expression: str, memory: int = NAMES_MEMORY) -> bool:
    """Return whether `compile_expression` accepts an expression."""
    try:
        compile_expression(expression, memory)
    except ValueError:
        return False
    return True
