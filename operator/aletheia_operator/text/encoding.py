"""Encodes values as JSON on one line."""

import json
from typing import Any

import orjson


def dumps(value: Any, sort_keys: bool = False) -> bytes:
    """Encode a value. The standard encoder takes what orjson refuses: lone surrogates, and integers past 64 bits.

    The result is a copy: orjson's result keeps its whole buffer, up to eight times the result's length, in memory.
    """
    try:
        return bytes(memoryview(orjson.dumps(value, option=orjson.OPT_SORT_KEYS if sort_keys else None)))
    except TypeError:
        return json.dumps(value, sort_keys=sort_keys).encode()
