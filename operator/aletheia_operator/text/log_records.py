"""Records of a process's own log: what they are about, their formats, and how they are made inert.

Records quote names, queries and answers of servers, so hidden characters are escaped in all of them.
"""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from aletheia_operator.text.display import visible

_about: ContextVar[dict[str, str] | None] = ContextVar("about", default=None)


@contextmanager
def about(**fields: str) -> Iterator[None]:
    """Add fields to every record that is logged within the context, also by tasks that are created in it."""
    token = _about.set((_about.get() or {}) | fields)
    try:
        yield
    finally:
        _about.reset(token)


def fields(**named: str | None) -> dict[str, dict[str, str]]:
    """Return the `extra` of one record that has these fields, without those that are None."""
    return {"fields": {name: value for name, value in named.items() if value is not None}}


class InertRecords(logging.Filter):
    """Escapes hidden characters of every message, newlines included, so that no text can begin another record.

    Also gives each record the fields of `about`.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = visible(record.getMessage()), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = visible(record.exc_text, "\n\t")
        if known := (_about.get() or {}) | getattr(record, "fields", {}):
            record.fields = known
        return True


def make_inert(logger: logging.Logger) -> None:
    """Make all that the handlers of `logger` write inert."""
    for handler in logger.handlers:
        if not any(isinstance(known, InertRecords) for known in handler.filters):
            handler.addFilter(InertRecords())


class JsonFormatter(logging.Formatter):
    """Writes one JSON object per line, with a record's `fields`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "severity": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)  # all but ASCII is escaped


class PlainFormatter(logging.Formatter):
    """Writes one line for people. Fields are shown as JSON, so no caller can forge a line."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        found = getattr(record, "fields", None)
        return line if found is None else f"{line} {json.dumps(found)}"


def configure_logging(form: str, level: str) -> None:
    """Write the log to stderr. `form`: plain or json; `level`: the lowest that is logged."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else PlainFormatter())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    make_inert(logging.getLogger())
