"""Encodes values as JSON on one line."""

import json
from typing import Any

import orjson


def dumps(value: Any, sort_keys: bool = False) -> bytes:
    """Also half a surrogate pair and integers past 64 bits, which only the standard encoder escapes or spells.

    The result takes no more memory than its length: orjson leaves what it did not need of its buffer, up to eight times as
    much, with each result for as long as that is kept.
    """
    try:
        return bytes(memoryview(orjson.dumps(value, option=orjson.OPT_SORT_KEYS if sort_keys else None)))
    except TypeError:
        return json.dumps(value, sort_keys=sort_keys).encode()
