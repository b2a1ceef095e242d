"""Redacts JSON documents of any source: spans, labels, Kubernetes events, metadata. In place."""

from collections.abc import Iterator
from typing import Any

from aletheia_operator.redact.names import kind_of
from aletheia_operator.redact.redactor import Redactor

_HOLDERS = frozenset({"value", "values", "stringValue", "arrayValue", "Value", "val"})
"""Keys of values that are named by another key: by `key` or `name` in the same dictionary, or by the enclosing key."""
_APART = '\n"\n'
"""Put between texts to search them together. With a line break alone, two names would look like a name and its value."""


def redact_document(document: Any, redactor: Redactor) -> None:
    """Redact every text of nested lists and dictionaries in place, by its content and by its name.

    The name of a text is its key. In `{"key": name, "value": text}` and in OTLP's attributes, the value of `key` or `name` is
    the name. Keys, numbers and raw fragments are not changed. Blocks for large documents: call it in a thread.
    """
    texts = list(_texts(document))
    block = _APART.join([holder[key] for holder, key, _ in texts]).encode("utf-8", "surrogatepass")
    clean = redactor.next_line(block, 0) < 0
    for holder, key, name in texts:
        if not clean or kind_of(name) is not None:
            holder[key] = redactor.value(name, holder[key])


def _texts(document: Any) -> Iterator[tuple[Any, Any, str]]:
    """Yield every text as (its list or dictionary, its index or key there, its name)."""
    waiting: list[tuple[Any, str]] = [(document, "")]
    while waiting:
        part, above = waiting.pop()
        if isinstance(part, dict):
            beside = part.get("key") if isinstance(part.get("key"), str) else part.get("name")
            for key, value in part.items():
                name = str(key)
                if name in _HOLDERS:
                    name = beside if isinstance(beside, str) and name in ("value", "Value", "val") else above
                if isinstance(value, str):
                    yield part, key, name.rpartition("/")[2]
                elif isinstance(value, (dict, list)):
                    waiting.append((value, name))
        elif isinstance(part, list):
            for index, value in enumerate(part):
                if isinstance(value, str):
                    yield part, index, above.rpartition("/")[2]
                elif isinstance(value, (dict, list)):
                    waiting.append((value, above))
