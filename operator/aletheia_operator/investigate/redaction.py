"""Derives the redaction of a capture from an admin's settings and the spec."""

from contextlib import suppress
from functools import cache
from typing import Any

from aletheia_operator.api.investigation import InvestigationSpec
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.api.redaction import RedactionSpec
from aletheia_operator.clients.errors import Rejected
from aletheia_operator.fetchers.base import Missing
from aletheia_operator.redact import InvalidRule, Level, Redactor, Rule
from aletheia_operator.redact.specs import redact_spec
from aletheia_operator.session import Session
from aletheia_operator.session.redaction_key import new_salt, redaction_key
from aletheia_operator.settings import Redaction

_BY_STRICTNESS = (Level.OFF, Level.SECRETS, Level.STRICT)
_SAMPLE = "password=hunter2"


def level_for(settings: Redaction, spec: RedactionSpec | None) -> tuple[Level, Missing | None]:
    """Return the level to use, and a note if it is stricter than the spec's, which an admin does not allow; else None."""
    least = Level(settings.level)
    wanted = Level(spec.level) if spec is not None and spec.level is not None else least
    if settings.allow_off or _BY_STRICTNESS.index(wanted) >= _BY_STRICTNESS.index(least):
        return wanted, None
    message = f"level {wanted} is laxer than an admin allows: {least} was used"
    return least, Missing("spec.redaction.level", GapReason.NOT_ALLOWED, message, "note")


def redactor_for(settings: Redaction, spec: RedactionSpec | None, key: bytes) -> Redactor:
    """Return the redactor of a capture. `key`: the session's. Raises Rejected for invalid rules.

    Blocks for about 0.1 s when a process uses these rules for the first time: RE2 completes its automata then.
    """
    level, _ = level_for(settings, spec)
    rules = [Rule(name, pattern) for name, pattern in settings.rules]
    rules += [Rule(rule.name, rule.pattern) for rule in (spec.rules if spec is not None else None) or ()]
    try:
        return _used(Redactor(key, level, rules))
    except InvalidRule as e:
        raise Rejected(f"spec.redaction.rules: {e}", GapReason.REJECTED) from e


def recorded_spec(settings: Redaction, spec: InvestigationSpec) -> dict[str, Any]:
    """Return the spec for the manifest and the report: without secrets, for example in a query. Blocks.

    The session does not exist yet, so tokens do not show which secrets are equal.
    """
    try:
        redactor = redactor_for(settings, spec.redaction, b"")
    except Rejected:
        redactor = redactor_for(settings, None, b"")
    recorded = spec.to_json()
    redact_spec(recorded, redactor)
    return recorded


def key_of(session: Session) -> bytes:
    """Return the key of a session's redaction. After a restart it is the same key. Blocks. Raises OSError."""
    salt = session.progress.redaction_salt
    if salt is None:
        salt = session.progress.redaction_salt = new_salt()
        with suppress(OSError):  # after a restart the key is then another one: equal secrets get different tokens
            session.record_redaction(salt)
    return redaction_key(session.layout, salt)


def check_settings(settings: Redaction) -> None:
    """Check the rules of an admin, and use them once. Raises InvalidRule, which is a ValueError. Blocks.

    Without rules nothing is compiled: the built-in ones take 6 MB, which an idle operator does not need.
    """
    redactor = Redactor(level=Level(settings.level), rules=[Rule(name, pattern) for name, pattern in settings.rules])
    if settings.rules:
        _used(redactor)


def _used(redactor: Redactor) -> Redactor:
    """Return a redactor of which the rules were used in this process, so that no later text waits for them."""
    if redactor.rule_names:
        redactor.text(_SAMPLE)
    else:
        _use_built_in(redactor.level)
        redactor.next_line(b"", 0)  # finds the compiled rules
    return redactor


@cache
def _use_built_in(level: Level) -> None:
    Redactor(level=level).text(_SAMPLE)
