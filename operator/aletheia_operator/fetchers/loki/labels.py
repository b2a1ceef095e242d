"""Finds labels of a query's stream selector that Loki does not know, if the query found nothing.

Speaks GET /loki/api/v1/labels and /loki/api/v1/label/{name}/values. Times are nanoseconds since the Unix epoch.
"""

import asyncio
from typing import Any
from urllib.parse import quote

import orjson
import re2

from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.http import Http
from aletheia_operator.text.display import one_line
from aletheia_operator.text.nearest import hint

LOOK_BACK_NANOSECONDS = 7 * 24 * 3600 * 10**9
"""A label value counts as known if it has lines within this time before the window: then the empty answer is right."""
MAX_MATCHERS = 10
_STRING = r'("(?:[^"\\]|\\.)*"|`[^`]*`)'
_SELECTOR = re2.compile(r"\{((?:[^{}\"`]|" + _STRING + r")*)\}")
_MATCHER = re2.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*" + _STRING)


def matchers_of(query: str) -> list[tuple[str, str, str]]:
    """Return (name, operator, value) of each matcher in the first stream selector of a LogQL query; [] without one."""
    selector = _SELECTOR.search(query)
    if selector is None:
        return []
    return [(name, operator, _value(text)) for name, operator, text in _MATCHER.findall(selector[1])[:MAX_MATCHERS]]


def _value(text: str) -> str:
    if text.startswith("`"):
        return text[1:-1]
    try:
        return str(orjson.loads(text))
    except orjson.JSONDecodeError:  # an escape that Go has and JSON has not
        return text[1:-1]


async def unknown_labels(http: Http, endpoint: Endpoint, query: str, start: int, end: int) -> list[str]:
    """Return a message with the nearest names for each required label, and each exact value, that Loki does not know.

    [] if Loki knows all of them, or does not list its labels.
    """
    wanted = [matcher for matcher in matchers_of(query) if matcher[1] in ("=", "=~") and matcher[2]]
    span = [("start", str(start - LOOK_BACK_NANOSECONDS)), ("end", str(end))]
    names = await _list(http, endpoint, "/loki/api/v1/labels", span) if wanted else None
    if names is None:
        return []
    messages = []
    for name, operator, value in wanted:
        if name not in names:
            messages.append(f"Loki knows no label {name}{await asyncio.to_thread(hint, name, names)}")
        elif operator == "=":
            values = await _list(http, endpoint, f"/loki/api/v1/label/{quote(name, safe='')}/values", span)
            if values is not None and value not in values:
                near = await asyncio.to_thread(hint, value, values)
                messages.append(f"Loki knows no value {one_line(value)} of label {name}{near}")
    return messages


async def _list(http: Http, endpoint: Endpoint, path: str, query: list[tuple[str, str]]) -> list[str] | None:
    """Return the names that Loki lists at `path`; None if it does not answer."""
    try:
        answer = await http.fetch_json(endpoint, path, query)
    except SourceError:
        return None
    body: Any = answer.body if answer.is_whole and isinstance(answer.body, dict) else {}
    if body.get("status") != "success" or not isinstance(body.get("data", []), list):
        return None
    return [name for name in body.get("data", []) if isinstance(name, str)]
