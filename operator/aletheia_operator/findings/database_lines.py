"""Recognises lines of a database's log about its clients: statements that failed, and sessions that it refused. Pure."""

import re

from aletheia_operator.findings.templates import Template

_STATEMENT = "ERROR:  "
_SESSION = "FATAL:  "
"""Severities of PostgreSQL, as its log has them: a `FATAL` ends a session, and the server goes on."""
_PLACE = re.compile(r" at character \d+$")
QUOTED = 40
"""Characters of a message that are compared with what follows the severity."""


def repeats_statement(template: Template) -> bool:
    """Return whether a line of PostgreSQL's log is about a client's statement. Its names are of tables, columns and roles."""
    return template.level == "ERROR" and _follows(template, _STATEMENT)


def ends_session(template: Template) -> bool:
    """Return whether a line of PostgreSQL's log is about a session that it refuses or ends."""
    return template.level == "FATAL" and _follows(template, _SESSION)


def without_place(text: str) -> str:
    """Return an error about a statement without the place in it, which the client's error does not have."""
    return _PLACE.sub("", text)


def _follows(template: Template, severity: str) -> bool:
    """Return whether the message begins behind the severity: clients quote such lines behind their own words."""
    _, found, message = template.line.partition(severity)
    return bool(found) and message.startswith(template.example[:QUOTED])
