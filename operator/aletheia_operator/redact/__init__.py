"""Removes credentials, data of other tenants and noise from what is stored. docs/redaction.md describes how."""

from aletheia_operator.redact.custom import InvalidRule, Rule
from aletheia_operator.redact.engine import Level
from aletheia_operator.redact.multiline import State
from aletheia_operator.redact.names import is_credential
from aletheia_operator.redact.redactor import Redactor
from aletheia_operator.redact.stream import Lines

__all__ = ["InvalidRule", "Level", "Lines", "Redactor", "Rule", "State", "is_credential"]
