"""Exempts what a rule found by what else its pattern found: a user that is a variable, the name of a field, a label."""

from collections.abc import Callable

from aletheia_operator.redact.names import kind_of
from aletheia_operator.redact.patterns import Match, byte_words, compiled
from aletheia_operator.redact.placeholders import is_template

_FIELDS_OF_USERS = byte_words("agent id name email data group role type")
_HASHED = r"(?i)(?:_?(?:hash|hashed|digest|sha\d{0,3}|md5|hex|bcrypt))+$"
_ID_OR_ADDRESS = r"^\d+(?:\.\d+){0,3}$"
"""What is no user before `:` and a number: `docker run -u 1000:1000`, `nc -u 10.1.2.3:53`."""


def _is_id(match: Match) -> bool:
    """Return whether a user and a password are ids or variables: `docker run -u 1000:1000`, `curl -u USER:API_TOKEN`."""
    user, secret = match.group(b"user"), match.group(b"secret")
    return is_template(secret, user) or (secret.isdigit() and compiled(_ID_OR_ADDRESS).search(user) is not None)


def _is_usage(match: Match) -> bool:
    """Return whether the arguments of mysql are names of variables: `mysql -u DB_USER -pDB_PASSWORD`."""
    user = compiled(r"\s-u\s*(?P<user>\w*USER\w*)").search(match.group())
    return user is not None and is_template(match.group(b"secret"), user.group(b"user"))


def _is_field_of_user(match: Match) -> bool:
    """Return whether the name of a user is that of a field: `user_agent="curl/7.88"`."""
    return match.group(b"user") in _FIELDS_OF_USERS


def _is_other_label(match: Match) -> bool:
    """Return whether a label names neither a secret nor the hash of one: `tokenCount`, but not `passwordHash`."""
    return kind_of(compiled(_HASHED).sub(b"", match.group(b"label")).decode()) is None


def _is_version(match: Match) -> bool:
    """Return whether a token is the version of a module: `example.com/token v0.0.0-20250101120000-38194c7bb56e`."""
    return compiled(r"^v\d+\.\d+\.\d+(?:[-+][\w.+-]*)?$").search(match.group(b"secret")) is not None


EXEMPT: dict[str, Callable[[Match], bool]] = {
    "user-password": _is_id, "mysql-password": _is_usage, "jaas-user": _is_field_of_user, "labelled-field": _is_other_label,
    "token-scheme": _is_version, "token-prose": _is_version,
}  # fmt: skip
"""Exemptions of a rule by what else its pattern found."""
