"""Label matchers of PromQL and LogQL, which write them alike. Pure."""

import re
from dataclasses import dataclass

from aletheia_operator.text.go_strings import quoted

_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Matcher:
    """A label matcher, `label operator "value"`. `value`: bytes, usually UTF-8. PromQL quotes labels that are no names."""

    label: str
    operator: str
    value: bytes

    def __str__(self) -> str:
        label = self.label if _LABEL.fullmatch(self.label) else quoted(self.label.encode())
        return f"{label}{self.operator}{quoted(self.value)}"
