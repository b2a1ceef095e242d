"""aletheia session redact: a second pass over a session, for a stricter level or a rule that came later."""

import argparse
import secrets
from typing import Any

from aletheia_operator.cli.command import add_command, add_session, manifest_of, report
from aletheia_operator.cli.keys import Refused, add_key_options, session_key
from aletheia_operator.redact import InvalidRule, Level, Redactor, Rule
from aletheia_operator.session import SessionLayout
from aletheia_operator.session.second_pass import redact_session


def add_commands(commands: Any) -> None:
    again = add_command(commands, "redact", redact_one, "make a copy of a session with fewer secrets")
    add_session(again)
    levels = [Level.SECRETS.value, Level.STRICT.value]
    again.add_argument("--level", choices=levels, default=Level.SECRETS.value, help="strict: also addresses and phone numbers")
    again.add_argument(
        "--rule", action="append", type=_rule, default=[], metavar="NAME=PATTERN", help="a pattern for RE2 (repeatable)"
    )
    add_key_options(again)


def redact_one(options: argparse.Namespace) -> int:
    manifest = manifest_of(options)
    key = session_key(manifest, options) if manifest.encryption else None
    try:
        redactor = Redactor(secrets.token_bytes(32), Level(options.level), options.rule)
    except InvalidRule as e:
        raise Refused(f"--rule: {e}") from e
    made = redact_session(SessionLayout(options.root), manifest.session_id, redactor, key)
    number = made.redactions - manifest.redactions
    message = f"{made.session_id}: a copy of {manifest.session_id} in which {number} more secrets are redacted"
    answer = {"session": made.session_id, "of": manifest.session_id, "redactions": number}
    return report(options, message, answer)


def _rule(text: str) -> Rule:
    name, _, pattern = text.partition("=")
    if not name or not pattern:
        raise argparse.ArgumentTypeError("must be NAME=PATTERN")
    return Rule(name, pattern)
