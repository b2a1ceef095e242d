"""What may not be kept: credentials, other people's business, and noise. docs/redaction.md tells how it works."""

from aletheia_operator.redact.custom import InvalidRule, Rule
from aletheia_operator.redact.engine import Level
from aletheia_operator.redact.multiline import State
from aletheia_operator.redact.names import is_credential
from aletheia_operator.redact.redactor import Redactor
from aletheia_operator.redact.stream import Lines

__all__ = ["InvalidRule", "Level", "Lines", "Redactor", "Rule", "State", "is_credential"]
