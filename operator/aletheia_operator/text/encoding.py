"""Encodes values as JSON on one line."""

import json
from typing import Any

import orjson


def dumps(value: Any, sort_keys: bool = False) -> bytes:
    """Encode a value. Lone surrogates and integers beyond 64 bits, which orjson refuses, go to the standard encoder."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS if sort_keys else None)
    except TypeError:
        return json.dumps(value, sort_keys=sort_keys).encode()
