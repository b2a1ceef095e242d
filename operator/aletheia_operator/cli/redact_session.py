"""aletheia session redact: makes a copy of a session, redacted with a stricter level or further rules."""

import secrets

import click

from aletheia_operator.cli.command import folder_command, manifest_of, print_result
from aletheia_operator.cli.errors import Refused
from aletheia_operator.cli.keys import session_key
from aletheia_operator.cli.options import SESSION_HELP, Options, key_options, session_argument
from aletheia_operator.redact import InvalidRule, Level, Redactor, Rule
from aletheia_operator.session import SessionLayout
from aletheia_operator.session.redacted_copy import redact_session
from aletheia_operator.text.sizes import counted


def redact_one(options: Options) -> int:
    manifest = manifest_of(options)
    key = session_key(manifest, options) if manifest.encryption else None
    try:
        redactor = Redactor(secrets.token_bytes(32), Level(options.level), options.rule)
    except InvalidRule as e:
        raise Refused(f"--rule: {e}") from e
    made = redact_session(SessionLayout(options.root), manifest.session_id, redactor, key)
    number = made.redactions - manifest.redactions
    message = f"{made.session_id}: a copy of {manifest.session_id} with {counted(number, 'more secret')} redacted"
    answer = {"session": made.session_id, "of": manifest.session_id, "redactions": number}
    return print_result(options, message, answer)


def _rules(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> list[Rule]:
    return [_rule(text) for text in texts]


def _rule(text: str) -> Rule:
    name, _, pattern = text.partition("=")
    if not name or not pattern:
        raise click.BadParameter("must be NAME=PATTERN")
    return Rule(name, pattern)


command = folder_command(
    "redact",
    redact_one,
    "make a copy of a session with fewer secrets",
    session_argument(),
    click.Option(
        ["--level"],
        type=click.Choice([Level.SECRETS.value, Level.STRICT.value]),
        default=Level.SECRETS.value,
        help="strict: also addresses and phone numbers.",
    ),
    click.Option(["--rule"], multiple=True, metavar="NAME=PATTERN", callback=_rules, help="A pattern for RE2 (repeatable)."),
    *key_options(),
    notes=SESSION_HELP,
)
