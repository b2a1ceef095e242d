"""Regular expressions of tenants: RE2 takes time linear in the text, whatever the expression."""

from functools import lru_cache
from typing import Any


@lru_cache(maxsize=256)
def compile_expression(expression: str) -> Any:
    """A compiled expression, whose `search` finds it anywhere. Raises ValueError."""
    import re2  # not at start: most Investigations have none

    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        return re2.compile(expression, options)
    except re2.error as e:
        raise ValueError(str(e)) from e


def is_expression(expression: str) -> bool:
    try:
        compile_expression(expression)
    except ValueError:
        return False
    return True
