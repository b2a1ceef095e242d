"""Compiles regular expressions, ours and tenants'. RE2 takes time linear in the text, for any expression.

Compiling also takes time: 21 expressions of 256 characters with Unicode classes took 0.6 s. So tenants' expressions are
ASCII. An expression that needs more memory than its limit is refused: with 1 MiB, 4 KiB of text can take a second.
"""

import re
from collections.abc import Callable
from functools import cache, lru_cache, partial
from typing import Any

NAMES_MEMORY = 1 << 20
TEXTS_MEMORY = 1 << 18
"""Bytes for an expression that is searched in many long texts: a kilobyte takes 60 ms at most."""
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]|(?<!\\)(?:\\\\)*\\(?:[pP]|x\{)")


def compiled(pattern: str | bytes, case_sensitive: bool = True, memory: int | None = None) -> Any:
    """Compile an expression. Raises ValueError if it is not valid, or needs more than `memory` bytes. None: RE2's own limit."""
    import re2  # not at start: it takes memory, and an idle operator needs none of it

    options = re2.Options()
    options.case_sensitive = case_sensitive
    options.log_errors = False
    if memory is not None:
        options.max_mem = memory
    try:
        return re2.compile(pattern, options)
    except re2.error as e:
        raise ValueError(str(e)) from e


def compiled_once(pattern: str | bytes, case_sensitive: bool = True) -> Callable[[], Any]:
    """Return a function that returns the compiled expression. It is compiled at the first call: many are never needed."""
    return cache(partial(compiled, pattern, case_sensitive))


@lru_cache(maxsize=256)
def compile_expression(expression: str, memory: int = NAMES_MEMORY) -> Any:
    """Compile a tenant's expression, for `search`. Raises ValueError if it is not valid, not ASCII, or needs more memory."""
    if _BEYOND_ASCII.search(expression):
        raise ValueError("characters and classes beyond ASCII are not taken")
    return compiled(expression, memory=memory)


def is_expression(expression: str, memory: int = NAMES_MEMORY) -> bool:
    """Return whether `compile_expression` accepts an expression."""
    try:
        compile_expression(expression, memory)
    except ValueError:
        return False
    return True
