"""Makes records of a process's own log inert: they quote names, queries and answers of servers."""

import logging

from aletheia_operator.text.display import visible


class InertRecords(logging.Filter):
    """Escapes hidden characters of every message, newlines included, so that no text can begin another record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = visible(record.getMessage()), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = visible(record.exc_text, "\n\t")
        return True


def make_inert(logger: logging.Logger) -> None:
    """Make all that the handlers of `logger` write inert."""
    for handler in logger.handlers:
        if not any(isinstance(known, InertRecords) for known in handler.filters):
            handler.addFilter(InertRecords())
