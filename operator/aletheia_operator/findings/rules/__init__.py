"""The rules. Each reads a case and yields findings; to add one, write a function and add it to RULES."""

from collections.abc import Callable, Iterator

from aletheia_operator.findings.case import Case
from aletheia_operator.findings.finding import Finding
from aletheia_operator.findings.rules.crashes import crashes
from aletheia_operator.findings.rules.waiting import cannot_start

Rule = Callable[[Case], Iterator[Finding]]

RULES: tuple[Rule, ...] = (crashes, cannot_start)
