"""Regular expressions of tenants over names of containers: RE2 takes time linear in the name, whatever the expression.

Compiling one takes time, too: 21 expressions of 256 characters with classes of Unicode took 0.6 s. Names are ASCII, and so must
expressions be.
"""

import re
from functools import lru_cache
from typing import Any

_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]|(?<!\\)(?:\\\\)*\\(?:[pP]|x\{)")


@lru_cache(maxsize=256)
def compile_expression(expression: str) -> Any:
    """Compile an expression; `search` of the result finds it anywhere. Raises ValueError, also for what is beyond ASCII."""
    import re2  # not at start: most Investigations have none

    if _BEYOND_ASCII.search(expression):
        raise ValueError("characters and classes beyond ASCII are not taken: names of containers have none")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        return re2.compile(expression, options)
    except re2.error as e:
        raise ValueError(str(e)) from e


def is_expression(expression: str) -> bool:
    """Whether `compile_expression` takes it."""
    try:
        compile_expression(expression)
    except ValueError:
        return False
    return True
